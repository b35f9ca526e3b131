#include "parallel/pipeline.h"

#include <algorithm>

#include "core/error.h"

namespace drover {

namespace {

char letter(ActionKind kind) {
  switch (kind) {
    case ActionKind::forward:
      return 'F';
    case ActionKind::backward:
      return 'B';
    case ActionKind::backward_input:
      return 'I';
    case ActionKind::backward_weight:
      return 'W';
  }
  return '?';
}

void add_all(Timeline& timeline, ActionKind kind, int microbatches) {
  for (int m = 0; m < microbatches; ++m) timeline.push_back({.kind = kind, .microbatch = m});
}

}  // namespace

std::string describe(const Timeline& timeline) {
  std::string text;
  for (const Action& action : timeline)
    text += cat(text.empty() ? "" : " ", action.chunk, letter(action.kind), action.microbatch);
  return text;
}

Schedule schedule_named(std::string_view name) {
  if (name == "1f1b") return Schedule::one_f_one_b;
  if (name == "gpipe") return Schedule::gpipe;
  throw usage_error("parallel.schedule is '", name, "'; without a pipeline it can be 1f1b or gpipe");
}

Timeline single_rank_timeline(Schedule schedule, int microbatches) {
  Timeline timeline;
  switch (schedule) {
    case Schedule::one_f_one_b:
      for (int m = 0; m < microbatches; ++m) {
        timeline.push_back({.kind = ActionKind::forward, .microbatch = m});
        timeline.push_back({.kind = ActionKind::backward, .microbatch = m});
      }
      break;
    case Schedule::gpipe:
      add_all(timeline, ActionKind::forward, microbatches);
      add_all(timeline, ActionKind::backward, microbatches);
      break;
    case Schedule::gpipe_split:
      add_all(timeline, ActionKind::forward, microbatches);
      add_all(timeline, ActionKind::backward_input, microbatches);
      add_all(timeline, ActionKind::backward_weight, microbatches);
      break;
  }
  return timeline;
}

SlotCount count_slots(const Timeline& timeline) {
  SlotCount most, now;
  for (const Action& action : timeline) {
    if (action.kind == ActionKind::forward) ++now.saved;
    if (action.kind == ActionKind::backward_input) ++now.weight;
    most.saved = std::max(most.saved, now.saved);
    most.weight = std::max(most.weight, now.weight);
    if (action.kind == ActionKind::backward || action.kind == ActionKind::backward_weight) --now.saved;
    if (action.kind == ActionKind::backward_weight) --now.weight;
  }
  return most;
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
