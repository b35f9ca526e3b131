// Pipeline schedules drawn at random: any placement, any order that a schedule may have.
#pragma once

#include <random>
#include <utility>
#include <vector>

#include "parallel/pipeline/schedule.h"

namespace drover::testing {

// One of least .. most.
inline int draw(std::mt19937_64& random, int least, int most) {
  return least + static_cast<int>(random() % static_cast<std::uint64_t>(most - least + 1));
}

inline Placement random_placement(std::mt19937_64& random, int ranks, int chunks) {
  std::vector<StagePlace> places;
  for (int i = 0; i < ranks * chunks; ++i) places.push_back({.rank = i % ranks, .chunk = i / ranks});
  for (std::size_t i = places.size(); i > 1; --i) std::swap(places[i - 1], places[random() % i]);
  return Placement(std::move(places));
}

// A placement at random, and one action after another of those that could be next, on whichever rank.
inline PipelineSchedule random_schedule(std::mt19937_64& random, int ranks, int chunks, int microbatches) {
  PipelineSchedule schedule{.placement = random_placement(random, ranks, chunks),
                            .microbatches = microbatches};
  schedule.timelines.resize(static_cast<std::size_t>(ranks));
  const int last = schedule.placement.stages() - 1;
  std::vector<std::pair<int, Action>> ready;  // with their stage
  for (int m = 0; m < microbatches; ++m) ready.push_back({0, {.microbatch = m}});
  while (!ready.empty()) {
    std::swap(ready[random() % ready.size()], ready.back());
    auto [stage, action] = ready.back();
    ready.pop_back();
    const auto [rank, chunk] = schedule.placement.at(stage);
    action.chunk = chunk;
    schedule.timelines[static_cast<std::size_t>(rank)].push_back(action);
    const auto add = [&, m = action.microbatch](int of, ActionKind kind) {
      ready.push_back({of, {.kind = kind, .microbatch = m}});
    };
    const auto backward = [&] {
      return random() % 2 == 0 ? ActionKind::backward : ActionKind::backward_input;
    };
    if (action.kind == ActionKind::forward)
      stage == last ? add(last, backward()) : add(stage + 1, ActionKind::forward);
    if (action.makes_input_gradient() && stage > 0) add(stage - 1, backward());
    if (action.kind == ActionKind::backward_input) add(stage, ActionKind::backward_weight);
  }
  return schedule;
}

}  // namespace drover::testing
