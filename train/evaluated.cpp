#include "train/evaluated.h"

namespace drover {

std::int64_t EvaluatedStage::hand_over_tokens(int microbatch) const {
  return is_there(microbatch) ? tensor_.shard_tokens(holdout_.microbatch_tokens(first_ + microbatch)) : 0;
}

void EvaluatedStage::forward(const Exec& exec, int microbatch, const HandOver& activations, StretchPart) {
  if (!is_there(microbatch)) return;
  const Microbatch& batch = holdout_.microbatch(first_ + microbatch);
  targets_ += batch.valid_targets;
  real_.evaluate(exec, batch, activations);
}

void EvaluatedStage::refuse() { throw Error(Exit::internal, "evaluation goes forward only"); }

}  // namespace drover
