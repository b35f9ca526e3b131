// Counts operator new on the calling thread. Replaces the executable's operator new: include in one source
// file of it.
#pragma once

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/support/conformance.h"

namespace drover {

namespace internal {
// atomic: the compiler takes operator new for a function that reads nothing
inline thread_local std::atomic<bool> counting_new{false};
inline thread_local std::atomic<int> news{0};
}  // namespace internal

inline void start_counting_new() {
  internal::news = 0;
  internal::counting_new = true;
}
inline int stop_counting_new() {
  internal::counting_new = false;
  return internal::news;
}

namespace conformance {

inline void steps_after_the_first_allocate_nothing(const Rank& rank) {
  EveryVerb verbs(rank);
  verbs.run();
  start_counting_new();
  for (int step = 0; step < 20; ++step) verbs.run();
  const int made = stop_counting_new();
  rank.expect(made == 0, cat(made, " allocations"));
}

}  // namespace conformance
}  // namespace drover

[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  if (drover::internal::counting_new) ++drover::internal::news;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (void* memory = operator new(bytes, std::nothrow)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
