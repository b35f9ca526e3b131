// How much of a slow link a step hides: every operation between ranks takes `delay` longer than it does, and the step
// should not. Two ranks are threads of this process, one layout after the other.
//   bench_overlap [--delay_ms=2] [--steps=5]
// "hidden" is the share of the delays of all operations, one after the other, that the step did not become longer by.
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include "bench/models.h"
#include "bench/support.h"
#include "core/cpu/cpu_backend.h"
#include "parallel/comm/around_comm.h"
#include "parallel/comm/local/local_comm.h"
#include "train/trainer.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;

class DelayedOperation final : public AroundOperation {
 public:
  Clock::time_point done;

 private:
  void around_wait(const Exec*, FunctionRef<void()> wait) override {
    wait();
    std::this_thread::sleep_until(done);
  }
};

struct Link {
  std::chrono::microseconds delay{0};
  std::atomic<std::int64_t> operations{0};
};

class DelayedComm final : public AroundComm {
 public:
  DelayedComm(std::unique_ptr<Communicator> inner, Link& link) : AroundComm(std::move(inner)), link_(link) {}

 private:
  Pending around(const CommCall&, FunctionRef<Pending()> start) override {
    const Clock::time_point done = Clock::now() + link_.delay;
    if (size() == 1) return start();
    ++link_.operations;
    return operations_.around(start(), [&](DelayedOperation& operation) { operation.done = done; });
  }
  std::unique_ptr<Communicator> wrap(std::unique_ptr<Communicator> part) override {
    return std::make_unique<DelayedComm>(std::move(part), link_);
  }

  Link& link_;
  AroundOperations<DelayedOperation> operations_;
};

Config config_of(const ParallelConfig& parallel) {
  Config config;
  config.model = model_8m();
  config.data.synthetic =
      SyntheticOptions{.vocab_size = 8192, .median_length = 400, .sigma = 1.5, .max_length = 512};
  config.train = {.sequence_length = 512, .batch_tokens = 4 * 512, .steps = 1000};
  config.optimizer.warmup_steps = 0;
  config.parallel = parallel;
  return config;
}

struct Measured {
  double seconds = 0;     // the median step's
  double operations = 0;  // of one rank in a step
};

Measured measure(const Config& config, std::chrono::microseconds delay, int steps) {
  Link link{.delay = delay};
  std::vector<double> seconds;
  run_local_ranks(2, [&](Communicator& local) {
    PosixFileSystem files;
    HostMemory memory;
    const auto backend = make_cpu_backend(memory, {.threads = 1});
    DelayedComm world(local.split(0, local.rank(), "delayed"), link);
    const Platform platform{.world = world, .backend = *backend, .host = memory, .files = files};
    const auto training = build_training(config, platform);
    Trainer trainer(*training, platform);
    trainer.step();
    for (int step = 0; step < steps; ++step) {
      const Clock::time_point start = Clock::now();
      trainer.step();
      if (world.rank() == 0) seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
  });
  return {.seconds = median(seconds), .operations = static_cast<double>(link.operations) / 2 / (steps + 1)};
}

void compare(const char* name, const ParallelConfig& parallel, std::chrono::microseconds delay, int steps) {
  const Config config = config_of(parallel);
  const Measured near = measure(config, {}, steps), far = measure(config, delay, steps);
  const double all = near.operations * std::chrono::duration<double>(delay).count();
  std::printf(
      "%-10s step %7.1f ms, with the delay %7.1f ms, %4.0f operations, %7.1f ms of delay, hidden %3.0f %%\n",
      name, 1e3 * near.seconds, 1e3 * far.seconds, near.operations, 1e3 * all,
      100 * (1 - (far.seconds - near.seconds) / all));
}

}  // namespace
}  // namespace drover

int main(int count, char** arguments) {
  using namespace drover;
  const std::chrono::microseconds delay(1000 * value_of(count, arguments, "--delay_ms=", 2));
  const int steps = static_cast<int>(value_of(count, arguments, "--steps=", 5));
  compare("DP ZeRO-1", {.shard = 2, .zero = 1}, delay, steps);
  compare("DP ZeRO-2", {.shard = 2}, delay, steps);
  compare("DP ZeRO-3", {.shard = 2, .zero = 3}, delay, steps);
  compare("DP copies", {.replicate = 2}, delay, steps);
  compare("TP", {.tensor = 2}, delay, steps);
  compare("PP zb-h1", {.pipeline = 2, .schedule = "zb-h1"}, delay, steps);
  compare("CP", {.context = 2}, delay, steps);
  return 0;
}
