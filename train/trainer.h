// The training loop's body: one optimizer step, evaluation, and the state a checkpoint holds.
#pragma once

#include <optional>

#include "checkpoint/format/state.h"
#include "core/base/function_ref.h"
#include "train/training.h"

namespace drover {

// Equal on all ranks.
struct StepReport {
  std::int64_t step = 0;          // completed updates, this one included
  std::int64_t tokens = 0;        // input positions trained on so far
  std::int64_t batch_tokens = 0;  // of this step
  std::int64_t targets = 0;       // valid targets of this step: what the loss is a mean over
  std::int64_t attended_pairs = 0;
  double loss = 0;       // nats per target, before the update
  double grad_norm = 0;  // before clipping
  double lr = 0;
  bool stop = false;  // some rank asked to stop after this step
  bool save = false;  // some rank asked for a checkpoint after this step
};

// What this rank asks for; the step's own reduction makes it everybody's.
struct StepWishes {
  bool stop = false;
  bool save = false;
};

class Trainer {
 public:
  // Both outlive this.
  Trainer(Training& training, const Platform& platform)
      : t_(training),
        platform_(platform),
        exec_{.backend = platform.backend, .scratch = training.model.scratch, .planted = platform.planted},
        numbers_buffer_(platform.host, 2 * Arena::kAlignment, MemoryCategory::scratch) {}

  // Trains one step.
  // Throws Error{diverged} on every rank when loss or gradient norm is not finite; the weights are then those
  // before the step.
  StepReport step(const StepWishes& wishes = {});
  bool finished() const { return completed_ >= t_.plan.total_steps; }
  std::int64_t completed_steps() const { return completed_; }
  // Of this rank, over the steps since construction.
  std::int64_t own_attended_pairs() const { return own_attended_pairs_; }

  // Mean loss in nats per target over the hold-out rows of the configuration, the same on all ranks. `stop`
  // says whether this rank was asked to stop: then evaluation ends early on all ranks, with nothing. It is asked once
  // for as many microbatches as a step has.
  std::optional<double> evaluate(FunctionRef<bool()> stop);

  // What a checkpoint holds of this rank: masters and moments of its shards as boxes of logical parameters.
  // Views into the run's memory. What several ranks hold is written by one of them.
  enum class Holders : std::uint8_t { all, writer };
  std::vector<StateEntry> state_entries(Holders holders = Holders::all) const;
  // The same boxes with the slot "gradient": of the last step, summed over all its tokens, before scaling.
  std::vector<StateEntry> gradient_entries() const;
  RunState run_state() const;
  // After state_entries() were filled from a checkpoint: working weights, data position and step follow.
  // A state of step 0 without feeds, which is of imported weights, begins the data.
  void resume(const RunState& state);

  const Exec& exec() const { return exec_; }

 private:
  struct Sums;
  struct Slot {
    const char* name;
    Tensor GroupShard::*flat;
  };
  void run_microbatches(const StepBatch& batch);
  Sums reduce_sums(const StepWishes& wishes);
  const double* sum_over_world(const Tensor& numbers);
  void add_loss_here(const Tensor& sum) const;
  // Tensor and pipeline ranks share their tokens: one of them counts.
  bool counts_tokens() const { return t_.plan.at.tensor == 0 && t_.plan.at.pipeline == 0; }
  std::vector<StateEntry> entries(std::span<const Slot> slots, Holders holders) const;
  Tensor float_numbers() const;
  Tensor integer_numbers() const;

  Training& t_;
  Platform platform_;
  Exec exec_;
  Buffer numbers_buffer_;  // host memory: the scalars that ranks add up in a step
  std::int64_t completed_ = 0, own_attended_pairs_ = 0;
};

}  // namespace drover
