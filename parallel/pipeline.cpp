#include "parallel/pipeline.h"

namespace drover {

Timeline single_rank_timeline(Schedule schedule, int microbatches) {
  return make_schedule({.schedule = schedule, .microbatches = microbatches}).timelines[0];
}

void run_timeline(const Exec& exec, const Timeline& timeline, Stage& stage) {
  for (const Action& action : timeline) {
    switch (action.kind) {
      case ActionKind::forward:
        stage.forward(exec, action.microbatch);
        break;
      case ActionKind::backward:
        stage.backward(exec, action.microbatch);
        break;
      case ActionKind::backward_input:
        stage.backward_input(exec, action.microbatch);
        break;
      case ActionKind::backward_weight:
        stage.backward_weight(exec, action.microbatch);
        break;
    }
  }
}

}  // namespace drover
