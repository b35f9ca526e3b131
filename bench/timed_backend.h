// A backend that passes every verb on to another one and adds up where the time goes.
#pragma once

#include <array>
#include <ctime>

#include "core/ops/around_backend.h"

namespace drover {

// On one thread the processor time of it, which other programs on the machine don't disturb.
struct Stopwatch {
  clockid_t clock = CLOCK_MONOTONIC;
  double seconds() const {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }
};
inline Stopwatch stopwatch_for(int threads) {
  return {threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC};
}

class TimedBackend final : public AroundBackend {
 public:
  TimedBackend(Backend& real, Stopwatch watch) : AroundBackend(real), watch_(watch) {}

  double seconds(Work work) const { return seconds_[static_cast<std::size_t>(work)]; }
  void reset() { seconds_ = {}; }

 private:
  void around(const VerbCall& call, FunctionRef<void()> verb) override {
    const double start = watch_.seconds();
    verb();
    seconds_[static_cast<std::size_t>(call.work)] += watch_.seconds() - start;
  }

  Stopwatch watch_;
  std::array<double, kWorkNames.size()> seconds_{};
};

}  // namespace drover
