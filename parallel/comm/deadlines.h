// How long ranks wait for each other. One setting, launch.timeout, decides all of it, together with what the run's
// phases have taken so far; the rule and its reasons are in docs/design.md, "Deadlines".
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

// What a run does, in the order of a run. start: until MPI has started. build: until the first step, but for load.
enum class RunPhase : std::uint8_t { start, build, load, step, evaluation, save, end };
constexpr int kPhases = 7;
std::string_view name_of(RunPhase phase);

// A value. All that it gives grows with the setting, and for every setting and whatever was measured
//   silence < waiting(step) <= waiting(save) < watching, and silence < joining <= waiting(any phase).
class Deadlines {
 public:
  using Duration = std::chrono::milliseconds;
  static constexpr std::chrono::minutes kTimeout{10};

  explicit Deadlines(Duration timeout = kTimeout) : timeout_(timeout) {}

  // A process of which nothing was heard for so long is lost.
  Duration silence() const;
  // In MPI's own start-up, its splits and its end, which nobody can watch.
  Duration joining() const { return timeout_ / 12; }
  // For what another rank does in this phase, while it is there.
  Duration waiting(RunPhase phase) const;
  // For whoever watches the ranks from outside: by then they have ended by themselves, and said why.
  Duration watching() const;

  void measure(RunPhase phase, Duration took);
  // What comes next will take another time than what was measured.
  void forget(RunPhase phase) { times_of(phase).clear(); }

 private:
  using Times = std::vector<Duration>;  // the newest few
  Times& times_of(RunPhase phase) { return times_[static_cast<std::size_t>(phase)]; }
  Duration by_measure(RunPhase phase, Duration at_least) const;

  Duration timeout_;
  std::array<Times, kPhases> times_;
};

// In which phase the run is, and what its communicators wait with meanwhile. The run's own thread enters and forgets;
// any thread asks.
class PhaseClock {
 public:
  using Duration = Deadlines::Duration;
  // `on_enter` is called with every phase that begins, on the run's thread; none: nobody is told.
  explicit PhaseClock(const Deadlines& deadlines = Deadlines(), std::function<void(RunPhase)> on_enter = {});

  // Ends the phase before, which is measured. A step after a step is a phase of its own.
  void enter(RunPhase phase);
  void forget(RunPhase phase);

  RunPhase phase() const { return phase_.load(std::memory_order_relaxed); }
  Duration waiting() const { return Duration(waiting_.load(std::memory_order_relaxed)); }
  const Deadlines& deadlines() const { return deadlines_; }  // the run's thread

 private:
  void publish();

  Deadlines deadlines_;
  std::function<void(RunPhase)> on_enter_;
  std::chrono::steady_clock::time_point entered_ = std::chrono::steady_clock::now();
  std::atomic<RunPhase> phase_{RunPhase::start};
  std::atomic<std::int64_t> waiting_{0};  // milliseconds
};

// For messages: "6.1 s".
std::string seconds_text(Deadlines::Duration duration);
// For messages: "missing are ranks 3 on host b, 5 on host c"; long lists are cut short. `hosts`: of all ranks; or none.
std::string missing_text(std::span<const int> ranks, std::span<const std::string> hosts = {});

}  // namespace drover
