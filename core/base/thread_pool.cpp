#include "core/base/thread_pool.h"

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace drover {

namespace {

// About 20 microseconds: longer than the gap between two verbs of a step, shorter than a scheduler slice.
constexpr int kSpins = 2000;

void relax() {
#ifdef DROVER_X86
  __builtin_ia32_pause();
#endif
}

// Returns once `word` differs from `old`.
void wait_for_change(const std::atomic<std::uint32_t>& word, std::uint32_t old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (word.load(std::memory_order_acquire) != old) return;
    relax();
  }
  word.wait(old, std::memory_order_acquire);
}

// But for faults of its own: a worker's stack is not for handlers (launch/process/signals.cpp).
void take_no_signals() {
  sigset_t signals;
  sigfillset(&signals);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&signals, fault);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

}  // namespace

// A job is open while workers may join it. Only workers that have joined are waited for, so one that still
// sleeps when the tiles run out costs nothing.
struct ThreadPool::Shared {
  static constexpr std::uint32_t kClosed = 1u << 31;

  ~Shared();  // wakes the threads that were started, and joins them

  // Written by the owner while the gate is closed and nobody is inside.
  FunctionRef<void(std::int64_t, int)>* work = nullptr;
  std::int64_t tiles = 0;

  alignas(64) std::atomic<std::uint32_t> generation{0};  // counts jobs; workers sleep on it
  alignas(64) std::atomic<std::uint32_t> gate{kClosed};  // kClosed | workers inside
  alignas(64) std::atomic<std::int64_t> next{0};
  std::atomic<bool> stopping{false};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::vector<std::thread> threads;

  void take_tiles(int worker) noexcept;
  void worker_loop(int worker);
  void join_job(int worker);
  void close_job();
};

void ThreadPool::Shared::take_tiles(int worker) noexcept {
  try {
    for (std::int64_t tile; (tile = next.fetch_add(1, std::memory_order_relaxed)) < tiles;)
      (*work)(tile, worker);
  } catch (...) {
    next.store(tiles, std::memory_order_relaxed);
    if (!failed.exchange(true)) error = std::current_exception();
  }
}

void ThreadPool::Shared::join_job(int worker) {
  if ((gate.fetch_add(1) & kClosed) == 0) take_tiles(worker);
  if (gate.fetch_sub(1) == kClosed + 1) gate.notify_one();
}

void ThreadPool::Shared::worker_loop(int worker) {
  take_no_signals();
  for (std::uint32_t seen = 0; !stopping.load();) {
    wait_for_change(generation, seen);
    seen = generation.load();
    join_job(worker);
  }
}

void ThreadPool::Shared::close_job() {
  for (std::uint32_t now = gate.fetch_or(kClosed) | kClosed; now != kClosed; now = gate.load())
    wait_for_change(gate, now);
}

ThreadPool::Shared::~Shared() {
  stopping.store(true);
  generation.fetch_add(1);
  generation.notify_all();
  for (std::thread& thread : threads) thread.join();
}

ThreadPool::ThreadPool(int threads) : threads_(threads), shared_(std::make_unique<Shared>()) {
  DROVER_CHECK(threads >= 1, threads, " threads");
  try {
    for (int worker = 1; worker < threads; ++worker)
      shared_->threads.emplace_back([shared = shared_.get(), worker] { shared->worker_loop(worker); });
  } catch (const std::system_error& failure) {
    throw usage_error("cannot start ", threads, " threads, number ", shared_->threads.size() + 2,
                      " failed: ", failure.code().message(),
                      "; ask for fewer, or raise the limits of processes (ulimit -u) and memory (ulimit -v)");
  }
}

ThreadPool::~ThreadPool() = default;

void ThreadPool::run(std::int64_t tiles, FunctionRef<void(std::int64_t tile, int worker)> work) {
  if (threads_ == 1 || tiles <= 1) {
    for (std::int64_t tile = 0; tile < tiles; ++tile) work(tile, 0);
    return;
  }
  Shared& shared = *shared_;
  shared.work = &work;
  shared.tiles = tiles;
  shared.next.store(0, std::memory_order_relaxed);
  shared.failed.store(false, std::memory_order_relaxed);
  shared.gate.fetch_and(~Shared::kClosed);
  shared.generation.fetch_add(1);
  shared.generation.notify_all();
  shared.take_tiles(0);
  shared.close_job();
  if (shared.failed.load()) std::rethrow_exception(std::exchange(shared.error, nullptr));
}

}  // namespace drover
