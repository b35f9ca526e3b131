// How long ranks wait: the rule of docs/design.md, "Deadlines", for every setting and whatever was measured.
#include "parallel/comm/deadlines.h"

#include "tests/support/test_support.h"

namespace drover::testing {

using namespace std::chrono_literals;

namespace {

constexpr std::array kEveryPhase{RunPhase::start,      RunPhase::build, RunPhase::load, RunPhase::step,
                                 RunPhase::evaluation, RunPhase::save,  RunPhase::end};

bool in_order(const Deadlines& deadlines) {
  bool ordered = deadlines.silence() < deadlines.joining() &&
                 deadlines.waiting(RunPhase::step) <= deadlines.waiting(RunPhase::save);
  for (const RunPhase phase : kEveryPhase)
    ordered &=
        deadlines.joining() <= deadlines.waiting(phase) && deadlines.waiting(phase) < deadlines.watching();
  return ordered;
}

}  // namespace

TEST_CASE("before anything is measured every phase may take the setting") {
  const Deadlines deadlines(10min);
  for (const RunPhase phase : kEveryPhase) CHECK(deadlines.waiting(phase) == 10min);
  CHECK(deadlines.silence() == 6s);
  CHECK(deadlines.joining() == 50s);
  CHECK(deadlines.watching() == 10min + 50s);
}

TEST_CASE(
    "steps and evaluations are waited for three times as long as the longest recent one, and ten seconds") {
  Deadlines deadlines(10min);
  deadlines.measure(RunPhase::step, 40s);
  deadlines.measure(RunPhase::step, 20s);
  CHECK(deadlines.waiting(RunPhase::step) == 130s);
  CHECK(deadlines.waiting(RunPhase::evaluation) == 10min);
  for (int step = 0; step < 8; ++step) deadlines.measure(RunPhase::step, 1s);
  CHECK(deadlines.waiting(RunPhase::step) == 50s);  // no less than a twelfth of the setting
  deadlines.forget(RunPhase::step);
  CHECK(deadlines.waiting(RunPhase::step) == 10min);
}

TEST_CASE("what disks decide is never waited for less long than the setting") {
  Deadlines deadlines(10min);
  deadlines.measure(RunPhase::step, 1s);  // a save is never waited for less long than a step, measured or not
  for (const RunPhase phase : {RunPhase::build, RunPhase::load, RunPhase::save, RunPhase::end}) {
    deadlines.measure(phase, 1s);
    CHECK(deadlines.waiting(phase) == 10min);
    deadlines.measure(phase, 5min);
    CHECK(deadlines.waiting(phase) == 15min + 10s);
  }
}

TEST_CASE("a lost process is noticed before a late one, a step before a save, and all before who watches") {
  for (const auto timeout :
       {Deadlines::Duration(1min), Deadlines::Duration(10min), Deadlines::Duration(168h)}) {
    for (const auto step : {1ms, 1000ms, 600000ms, 36000000ms}) {
      Deadlines deadlines(timeout);
      CHECK(in_order(deadlines));
      deadlines.measure(RunPhase::step, step);
      CHECK(in_order(deadlines));
      deadlines.measure(RunPhase::save, 2s);
      deadlines.measure(RunPhase::evaluation, 10 * step);
      CHECK(in_order(deadlines));
    }
  }
}

TEST_CASE("a clock measures the phase that ends, and tells of the phase that begins") {
  std::vector<RunPhase> begun;
  PhaseClock clock(Deadlines(10min), [&](RunPhase phase) { begun.push_back(phase); });
  CHECK(clock.waiting() == 10min);
  clock.enter(RunPhase::step);
  CHECK(clock.waiting() == 10min);
  clock.enter(RunPhase::step);
  CHECK(clock.phase() == RunPhase::step);
  CHECK(clock.waiting() == 50s);
  clock.enter(RunPhase::save);
  CHECK(clock.waiting() == 10min);
  clock.enter(RunPhase::step);
  clock.forget(RunPhase::step);
  CHECK(clock.waiting() == 10min);
  CHECK(begun == std::vector{RunPhase::step, RunPhase::step, RunPhase::save, RunPhase::step});
}

TEST_CASE("messages name missing ranks with their hosts, and cut long lists short") {
  const std::vector<std::string> hosts{"a", "a", "b", "b"};
  CHECK(missing_text(std::vector{2}, hosts) == "missing is rank 2 on host b");
  CHECK(missing_text(std::vector{1, 2}, hosts) == "missing are ranks 1 on host a, 2 on host b");
  CHECK(missing_text(std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) ==
        "missing are ranks 0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
  CHECK(seconds_text(6100ms) == "6.1 s");
}

}  // namespace drover::testing
