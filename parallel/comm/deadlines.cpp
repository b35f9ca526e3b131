#include "parallel/comm/deadlines.h"

#include <algorithm>

#include "core/base/error.h"

namespace drover {

namespace {

using Duration = Deadlines::Duration;

constexpr std::size_t kRecent = 8;
constexpr Duration kLeastSilence = std::chrono::seconds(2), kAllowance = std::chrono::seconds(10);

}  // namespace

std::string_view name_of(RunPhase phase) {
  constexpr std::array<std::string_view, kPhases> kNames = {"start",      "build", "load", "step",
                                                            "evaluation", "save",  "end"};
  return kNames[static_cast<std::size_t>(phase)];
}

Duration Deadlines::silence() const { return std::max(kLeastSilence, timeout_ / 100); }

Duration Deadlines::by_measure(RunPhase phase, Duration at_least) const {
  const Times& times = times_[static_cast<std::size_t>(phase)];
  if (times.empty()) return timeout_;
  return std::max(at_least, kAllowance + 3 * *std::max_element(times.begin(), times.end()));
}

Duration Deadlines::waiting(RunPhase phase) const {
  switch (phase) {
    case RunPhase::step:
    case RunPhase::evaluation:
      return by_measure(phase, joining());
    case RunPhase::save:
      return std::max(by_measure(phase, timeout_), waiting(RunPhase::step));
    case RunPhase::start:
    case RunPhase::build:
    case RunPhase::load:
    case RunPhase::end:
      return by_measure(phase, timeout_);
  }
  return timeout_;
}

Duration Deadlines::watching() const {
  Duration longest{0};
  for (int phase = 0; phase < kPhases; ++phase)
    longest = std::max(longest, waiting(static_cast<RunPhase>(phase)));
  return longest + joining();
}

void Deadlines::measure(RunPhase phase, Duration took) {
  Times& times = times_of(phase);
  if (times.size() == kRecent) times.erase(times.begin());
  times.push_back(took);
}

PhaseClock::PhaseClock(const Deadlines& deadlines, std::function<void(RunPhase)> on_enter)
    : deadlines_(deadlines), on_enter_(std::move(on_enter)) {
  publish();
}

void PhaseClock::publish() { waiting_.store(deadlines_.waiting(phase()).count(), std::memory_order_relaxed); }

void PhaseClock::enter(RunPhase phase) {
  const auto now = std::chrono::steady_clock::now();
  deadlines_.measure(this->phase(), std::chrono::duration_cast<Duration>(now - entered_));
  entered_ = now;
  phase_.store(phase, std::memory_order_relaxed);
  publish();
  if (on_enter_) on_enter_(phase);
}

void PhaseClock::forget(RunPhase phase) {
  deadlines_.forget(phase);
  publish();
}

std::string missing_text(std::span<const int> ranks, std::span<const std::string> hosts) {
  constexpr std::size_t kMost = 8;
  std::string text = ranks.size() == 1 ? "missing is rank" : "missing are ranks";
  for (std::size_t i = 0; i < std::min(ranks.size(), kMost); ++i) {
    text += cat(i == 0 ? " " : ", ", ranks[i]);
    if (!hosts.empty()) text += " on host " + hosts[static_cast<std::size_t>(ranks[i])];
  }
  return ranks.size() > kMost ? text + cat(" and ", ranks.size() - kMost, " more") : text;
}

std::string seconds_text(Duration duration) {
  return cat(static_cast<double>(duration.count()) / 1000, " s");
}

}  // namespace drover
