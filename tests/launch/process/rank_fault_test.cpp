#include "launch/process/rank_fault.h"

#include "core/base/error.h"
#include "tests/support/test_support.h"

namespace drover::testing {

namespace {

std::string refusal(const std::string& text) {
  try {
    parse_rank_fault(text);
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::usage);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a fault names a way, a phase, a rank and which time") {
  CHECK(parse_rank_fault("stop@phase=step,rank=1") ==
        RankFault{.way = RankFault::Way::stop, .phase = RunPhase::step, .rank = 1, .time = 1});
  CHECK(parse_rank_fault("kill@phase=save,rank=0,time=2") ==
        RankFault{.way = RankFault::Way::kill, .phase = RunPhase::save, .rank = 0, .time = 2});
}

TEST_CASE("whatever else DROVER_FAULT holds is refused with what could stand there") {
  const auto refuses = [](const std::string& text, const std::string& why) {
    const std::string refused = refusal(text);
    INFO(text << ": " << refused);
    CHECK(refused.find("DROVER_FAULT=") == 0);
    CHECK(refused.find(why) != std::string::npos);
    CHECK(refused.find("expected kill@phase=PHASE,rank=N") != std::string::npos);
  };
  refuses("", "there is no way ''");
  refuses("pause@phase=step,rank=1", "there is no way 'pause'");
  refuses("stop@phase=lunch,rank=1", "there is no phase 'lunch'");
  refuses("stop@rank=1,phase=step", "'phase=' is missing");
  refuses("stop@phase=step", "'rank=' is missing");
  refuses("stop@phase=step,rank=-1", "'-1' is no number of at least 0");
  refuses("stop@phase=step,rank=1x", "'1x' is no number of at least 0");
  refuses("stop@phase=step,rank=1,time=0", "'0' is no number of at least 1");
  refuses("stop@phase=step,rank=1,time=1,more", "'more' is too much");
}

TEST_CASE("a fault of another rank, phase or time does not strike") {
  RankFaultStrike strike({.phase = RunPhase::save, .rank = 1, .time = 3}, 1);
  strike.phase_begins(RunPhase::step);
  strike.phase_begins(RunPhase::save);
  strike.phase_begins(RunPhase::save);
  RankFaultStrike other({.phase = RunPhase::save, .rank = 1}, 0);
  other.phase_begins(RunPhase::save);
  SUCCEED("this process lives");
}

}  // namespace drover::testing
