// A stage as evaluation drives it: forward only, over the hold-out's microbatches, keeping nothing.
#pragma once

#include "data/batch/holdout.h"
#include "model/stage.h"

namespace drover {

class EvaluatedStage final : public Stage {
 public:
  // All outlive this. Each stage of a rank reads the hold-out for itself.
  EvaluatedStage(LlamaStage& real, Holdout& holdout, const TensorRegion& tensor)
      : real_(real), holdout_(holdout), tensor_(tensor) {}

  // Microbatch 0 is from now on the hold-out's `first`. Those behind its last are passed over, on all ranks alike.
  void begin(std::int64_t first) {
    first_ = first;
    targets_ = 0;
  }
  // Valid targets of what was evaluated since begin().
  std::int64_t targets() const { return targets_; }

  std::int64_t hand_over_tokens(int microbatch) const override;
  void forward(const Exec& exec, int microbatch, const HandOver& activations,
               StretchPart part_of_stretch) override;
  void backward_input(const Exec&, int, const HandOver&, StretchPart) override { refuse(); }
  void backward_weight(const Exec&, int, StretchPart) override { refuse(); }
  void backward(const Exec&, int, const HandOver&, StretchPart) override { refuse(); }

 private:
  [[noreturn]] static void refuse();
  bool is_there(int microbatch) const { return first_ + microbatch < holdout_.microbatches(); }

  LlamaStage& real_;
  Holdout& holdout_;
  const TensorRegion& tensor_;
  std::int64_t first_ = 0, targets_ = 0;
};

}  // namespace drover
