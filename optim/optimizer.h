// The update of a step: AdamW over the shards this rank owns, and the norm its gradients are clipped by.
#pragma once

#include "optim/config.h"
#include "parallel/fsdp/parameter_group.h"
#include "parallel/mesh/layout.h"

namespace drover {

// Adds to sum [1] float64 the squares of the gradients of this rank's shards that this tensor rank counts
// (parallel/mesh/layout.h). Summed over tensor, context, pipeline and shard ranks, though not over replicas, these give the
// squared norm: each element of the model once.
void add_gradient_squares(const Exec& exec, std::span<const ParameterLayout> table,
                          const ParameterGroups& groups, int tensor_rank, const Tensor& sum);

// What gradients are multiplied by: 1 / targets, times clip_norm / norm when the norm of the normalised
// gradient is above it. `targets` is the global number of valid targets; 0 gives 0, an update by decay and
// momentum alone.
struct GradientScale {
  double norm = 0;  // of the normalised gradient, before clipping
  double factor = 0;
};
GradientScale gradient_scale(double sum_of_squares, std::int64_t targets, double clip_norm);

// One AdamW step (core/ops/backend.h has the formula) on masters, moments and working weights of every shard.
// `step` counts from 0; decay applies to the parameters whose row of the table says so. Marks gathered
// weights out of date.
struct OptimizerStep {
  std::int64_t step = 0;
  double lr = 0;
  double gradient_scale = 1;
};
void apply_adamw(const Exec& exec, const OptimizerConfig& config, const std::vector<ParameterLayout>& table,
                 ParameterGroups& groups, const OptimizerStep& update);

}  // namespace drover
