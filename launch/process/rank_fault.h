// Losing a rank on purpose, for tests: the environment variable DROVER_FAULT kills or stops one rank where a phase of
// its run begins.
//
//   DROVER_FAULT=stop@phase=step,rank=1           SIGSTOP for rank 1 when its first step begins
//   DROVER_FAULT=kill@phase=save,rank=0,time=2    SIGKILL for rank 0 when its second save begins
//
// Phases are those of parallel/comm/deadlines.h: start is before MPI starts, build before the first split.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "parallel/comm/deadlines.h"

namespace drover {

struct RankFault {
  enum class Way : std::uint8_t { kill, stop };
  Way way = Way::kill;
  RunPhase phase = RunPhase::start;
  std::int64_t rank = 0;
  std::int64_t time = 1;  // which of the phases of that name, from 1

  bool operator==(const RankFault&) const = default;
};

// Error{usage} says what is wrong in the text and what could stand there.
RankFault parse_rank_fault(std::string_view text);

// Strikes this process when its phase has begun the right number of times.
class RankFaultStrike {
 public:
  RankFaultStrike(const RankFault& fault, std::int64_t my_rank) : fault_(fault), my_rank_(my_rank) {}
  void phase_begins(RunPhase phase);

 private:
  RankFault fault_;
  std::int64_t my_rank_;
  std::int64_t begun_ = 0;
};

}  // namespace drover
