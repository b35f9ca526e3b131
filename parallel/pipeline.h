// Execution of a pipeline schedule (parallel/schedule.h) on one rank with one chunk; that of many is not there yet
// (docs/design.md).
#pragma once

#include "core/exec.h"
#include "parallel/schedule.h"

namespace drover {

// The timeline of the only rank of a pipeline.
Timeline single_rank_timeline(Schedule schedule, int microbatches);

// A run of blocks on one pipeline rank (+ embedding on the first, + head and loss on the last): what the
// executor drives. Implemented by model/stage.h, so that parallel/ never learns of models. Microbatches are
// numbers into the step's batch that the implementation was given before.
class Stage {
 public:
  virtual ~Stage() = default;
  virtual void forward(const Exec& exec, int microbatch) = 0;
  virtual void backward_input(const Exec& exec, int microbatch) = 0;
  virtual void backward_weight(const Exec& exec, int microbatch) = 0;
  // Both, block by block, so that what weight gradients need dies at once.
  virtual void backward(const Exec& exec, int microbatch) = 0;
};

// The executor: one loop.
void run_timeline(const Exec& exec, const Timeline& timeline, Stage& stage);

}  // namespace drover
