#include "parallel/pipeline/order.h"

#include <algorithm>

#include "core/base/error.h"

namespace drover {

namespace {

// Ends of the actions of all stages, and which rank waits for which of them.
class Walk {
 public:
  explicit Walk(const PipelineSchedule& schedule)
      : schedule_(schedule),
        ends_(2 * static_cast<std::size_t>(schedule.placement.stages()) * microbatches(), kNotYet),
        next_(schedule.timelines.size(), 0),
        free_at_(schedule.timelines.size(), 0) {}

  std::vector<OrderedAction> order() {
    for (int rank = 0; rank < ranks(); ++rank) ready_.push_back(rank);
    while (!ready_.empty()) {
      const int rank = ready_.back();
      ready_.pop_back();
      while (advance(rank)) continue;
    }
    check_finished();
    std::sort(order_.begin(), order_.end(), [](const OrderedAction& a, const OrderedAction& b) {
      return a.start != b.start ? a.start < b.start : a.rank < b.rank;
    });
    return std::move(order_);
  }

 private:
  static constexpr int kNotYet = -1, kAwaited = -2;  // below kAwaited: awaited by rank -3 - value

  int ranks() const { return static_cast<int>(schedule_.timelines.size()); }
  std::size_t microbatches() const { return static_cast<std::size_t>(schedule_.microbatches); }
  int& end(bool gradient, int stage, int microbatch) {
    const auto row = 2 * static_cast<std::size_t>(stage) + (gradient ? 1 : 0);
    return ends_[row * microbatches() + static_cast<std::size_t>(microbatch)];
  }

  // What an action needs from another stage, or from its own; null: nothing.
  int* needed(int rank, const Action& action) {
    const int stage = schedule_.placement.stage(rank, action.chunk), last = schedule_.placement.stages() - 1;
    if (action.kind == ActionKind::forward)
      return stage == 0 ? nullptr : &end(false, stage - 1, action.microbatch);
    if (action.kind == ActionKind::backward_weight) return &end(true, stage, action.microbatch);
    return stage == last ? &end(false, stage, action.microbatch) : &end(true, stage + 1, action.microbatch);
  }

  // One action of the rank, if what it needs is there; otherwise the rank is noted as waiting for it.
  bool advance(int rank) {
    const Timeline& timeline = schedule_.timelines[static_cast<std::size_t>(rank)];
    int& next = next_[static_cast<std::size_t>(rank)];
    if (next == static_cast<int>(timeline.size())) return false;
    const Action& action = timeline[static_cast<std::size_t>(next)];
    int* const need = needed(rank, action);
    if (need != nullptr && *need < 0) {
      *need = kAwaited - 1 - rank;
      return false;
    }
    finish(rank, next++, action, need == nullptr ? 0 : *need);
    return true;
  }

  void finish(int rank, int index, const Action& action, int ready_at) {
    int& free_at = free_at_[static_cast<std::size_t>(rank)];
    const int start = std::max(free_at, ready_at);
    free_at = start + 1;
    order_.push_back({.rank = rank, .index = index, .start = start});
    if (action.kind == ActionKind::backward_weight) return;
    const int stage = schedule_.placement.stage(rank, action.chunk);
    int& mine = end(action.makes_input_gradient(), stage, action.microbatch);
    if (mine < kAwaited) ready_.push_back(kAwaited - 1 - mine);
    mine = free_at;
  }

  void check_finished() const {
    for (int rank = 0; rank < ranks(); ++rank) {
      const Timeline& timeline = schedule_.timelines[static_cast<std::size_t>(rank)];
      const auto next = static_cast<std::size_t>(next_[static_cast<std::size_t>(rank)]);
      if (next < timeline.size())
        throw usage_error("parallel.schedule: pipeline rank ", rank, " waits forever before action ", next,
                          " (", describe(timeline[next]),
                          ", chunk kind microbatch): what it needs comes later, or waits for it in turn");
    }
  }

  const PipelineSchedule& schedule_;
  std::vector<int> ends_;
  std::vector<int> next_, free_at_;
  std::vector<int> ready_;
  std::vector<OrderedAction> order_;
};

}  // namespace

std::vector<OrderedAction> execution_order(const PipelineSchedule& schedule) {
  return Walk(schedule).order();
}

}  // namespace drover
