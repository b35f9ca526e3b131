#include "data/batch/loader.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "data/batch/loader_step.h"

namespace drover {

// While `reading`, the thread owns the reader, `position`, `error` and the buffer that is not `current`;
// otherwise the caller does.
struct Loader::Shared {
  Shared(Memory& memory, const LoaderOptions& options)
      : reader(options), buffers{{memory, reader}, {memory, reader}} {}

  void start_reading(const SamplerState& from);
  void wait_until_read();
  void run();

  StepReader reader;
  StepBuffer buffers[2];
  int current = 0;        // what next() returned last
  SamplerState position;  // of the step being read
  SamplerState state;     // after the step that next() returned last
  std::exception_ptr error;

  std::mutex mutex;
  std::condition_variable changed;
  bool reading = false;
  bool stopping = false;
  std::thread thread;
};

void Loader::Shared::start_reading(const SamplerState& from) {
  const std::lock_guard lock(mutex);
  position = from;
  reading = true;
  changed.notify_all();
}

void Loader::Shared::wait_until_read() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return !reading; });
}

void Loader::Shared::run() {
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [&] { return reading || stopping; });
    if (stopping) return;
    lock.unlock();
    try {
      reader.read(position, buffers[1 - current]);
      error = nullptr;
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    reading = false;
    changed.notify_all();
  }
}

Loader::Loader(Memory& memory, const LoaderOptions& options, const SamplerState& state)
    : shared_(std::make_unique<Shared>(memory, options)) {
  shared_->state = state;
  for (StepBuffer& buffer : shared_->buffers) buffer.after = state;  // makes its vectors
  shared_->start_reading(state);
  shared_->thread = std::thread([shared = shared_.get()] { shared->run(); });
}

Loader::Loader(Memory& memory, const LoaderOptions& options)
    : Loader(memory, options, Sampler(options.phases).start()) {}

Loader::~Loader() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopping = true;
    shared_->changed.notify_all();
  }
  shared_->thread.join();
}

const Sampler& Loader::sampler() const { return shared_->reader.sampler(); }

const StepBatch& Loader::next() {
  Shared& shared = *shared_;
  shared.wait_until_read();
  if (shared.error) std::rethrow_exception(shared.error);
  shared.current = 1 - shared.current;
  const StepBuffer& buffer = shared.buffers[shared.current];
  shared.state = buffer.after;
  shared.start_reading(shared.state);
  return buffer.batch;
}

const SamplerState& Loader::state() const { return shared_->state; }

void Loader::seek(const SamplerState& state) {
  shared_->wait_until_read();
  shared_->state = state;
  shared_->start_reading(state);
}

std::int64_t Loader::max_microbatches() const { return shared_->reader.max_microbatches(); }

std::int64_t Loader::max_microbatch_tokens() const { return shared_->reader.max_microbatch_tokens(); }

std::vector<std::int64_t> Loader::microbatch_sizes() const { return shared_->reader.microbatch_sizes(); }

}  // namespace drover
