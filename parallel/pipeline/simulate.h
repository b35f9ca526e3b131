// Runs the programs of all pipeline ranks in simulated time, under rendezvous semantics: a message goes when both its
// send and its receive have been started. What comes out of a schedule here comes out of it in a run, as far as its
// actions cost what they are said to.
#pragma once

#include <vector>

#include "parallel/pipeline/program.h"
#include "parallel/pipeline/schedule.h"

namespace drover {

// Of one microbatch on one stage, in any unit of time. A fused backward costs input + weight.
struct StageCosts {
  double forward = 1, input = 1, weight = 1;
};
struct SimulationCosts {
  std::vector<StageCosts> stages = {StageCosts{}};  // one for all stages, or one each
  double transfer = 0;                              // of a message between two ranks
};

struct TimedAction {
  Action action;
  double start = 0, end = 0;
};

struct SimulatedRank {
  std::vector<TimedAction> actions;
  double busy = 0;               // the sum of its actions
  std::vector<SlotCount> slots;  // of each chunk
  int buffers = 0;

  // Between its first and its last action: what the zero-bubble papers quote.
  double idle_in_span() const;
};

struct Simulation {
  std::vector<SimulatedRank> ranks;
  double step = 0;  // from the first action of any rank to the last of all, where the optimizer's barrier is

  double idle_in_span() const;           // the largest of a rank
  double idle_of_step(int rank) const {  // bubble, the wait at the barrier included
    return step - ranks[static_cast<std::size_t>(rank)].busy;
  }
};

// Throws Error naming rank and action unless every microbatch passes every stage once forward and (unless the schedule
// is all forward) once backward (B, or I and then W), each with the data of that microbatch from the stage before or
// behind it, and all ranks come to their end.
Simulation simulate(const PipelineSchedule& schedule, const SimulationCosts& costs = {});
// The same with these programs, one per rank.
Simulation simulate(const PipelineSchedule& schedule, const std::vector<PipelineProgram>& programs,
                    const SimulationCosts& costs);

}  // namespace drover
