// One order of all actions of a schedule in which each comes after those it needs: its rank's earlier actions, the
// stage before it (forward) or behind it (input gradient), its own forward, its own input gradient.
#pragma once

#include <vector>

#include "parallel/pipeline/schedule.h"

namespace drover {

struct OrderedAction {
  int rank = 0;
  int index = 0;  // into the rank's timeline
  int start = 0;  // in units of one action, all actions costing the same and messages nothing
};

// By start, then rank. Every rank computes the same order from the schedule. Error{usage} names a rank and the
// action that waits forever, where there is no such order.
std::vector<OrderedAction> execution_order(const PipelineSchedule& schedule);

}  // namespace drover
