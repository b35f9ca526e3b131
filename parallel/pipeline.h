// Pipeline schedules are data: a timeline of actions per rank. This page holds what one pipeline rank needs
// today (one chunk); generators for many ranks, simulation and the passes that add communication are not there
// yet (docs/design.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/exec.h"

namespace drover {

enum class ActionKind : std::uint8_t {
  forward,          // F
  backward,         // B: input and weight gradients together
  backward_input,   // I
  backward_weight,  // W
};

struct Action {
  ActionKind kind = ActionKind::forward;
  int chunk = 0;
  int microbatch = 0;
  bool operator==(const Action&) const = default;
};
using Timeline = std::vector<Action>;

// "0F0 0B0 0F1 0B1": chunk, kind, microbatch.
std::string describe(const Timeline& timeline);

enum class Schedule : std::uint8_t {
  one_f_one_b,  // Narayanan et al. 2019, PipeDream-flush; on one rank F and B alternate
  gpipe,        // Huang et al. 2019: all forwards, then all backwards in the same order
  gpipe_split,  // gpipe with input gradients first and weight gradients last (Qi et al. 2023)
};
Schedule schedule_named(std::string_view name);

// The timeline of the only rank of a pipeline.
Timeline single_rank_timeline(Schedule schedule, int microbatches);

// The most microbatches in flight at once: `saved`, from forward to the weight gradient (which reads
// activations); `weight`, from input gradient to weight gradient, 0 when they are never apart.
struct SlotCount {
  int saved = 0;
  int weight = 0;
};
SlotCount count_slots(const Timeline& timeline);

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
