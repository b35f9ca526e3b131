#include "parallel/comm/host/doorbell.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

namespace drover {

namespace {

constexpr int kSpins = 400;  // about 15 microseconds: longer than an answer takes from a rank that runs
constexpr int kYields = 30;  // lets the other ranks of this core come to the same point

// Not FUTEX_PRIVATE_FLAG: bells lie in memory shared by processes too.
long futex(std::atomic<std::uint32_t>* word, int operation, std::uint32_t value,
           const timespec* timeout) noexcept {
  return syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(word), operation, value, timeout, nullptr, 0);
}

}  // namespace

void pause_processor() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

void Doorbell::ring() noexcept {
  rings_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) futex(&rings_, FUTEX_WAKE, INT_MAX, nullptr);
}

void Doorbell::wait(std::uint32_t seen, std::chrono::microseconds timeout, Patience patience) noexcept {
  for (int spin = 0; spin < kSpins && patience == Patience::spin; ++spin) {
    if (read() != seen) return;
    pause_processor();
  }
  for (int yield = 0; yield < kYields; ++yield) {
    if (read() != seen) return;
    sched_yield();
  }
  sleep(seen, timeout);
}

void Doorbell::sleep(std::uint32_t seen, std::chrono::microseconds timeout) noexcept {
  const timespec limit{.tv_sec = timeout.count() / 1000000, .tv_nsec = timeout.count() % 1000000 * 1000};
  // Counted before the word is compared (by the kernel): a ring in between is seen by one of the two.
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  futex(&rings_, FUTEX_WAIT, seen, &limit);
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

}  // namespace drover
