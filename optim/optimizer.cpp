#include "optim/optimizer.h"

#include <cmath>

#include "core/ops/ops.h"

namespace drover {

void add_gradient_squares(const Exec& exec, std::span<const ParameterLayout> table,
                          const ParameterGroups& groups, int tensor_rank, const Tensor& sum) {
  for (int g = 0; g < groups.count(); ++g) {
    const GroupShard& shard = groups.shard(g);
    each_counted_range(groups.layout(g), table, tensor_rank, [&](std::int64_t from, std::int64_t to) {
      const Tensor held = shard.part(shard.gradient, from, to);
      if (held.numel() > 0) ops::sum_of_squares(exec, {.x = held, .out = sum});
    });
  }
}

GradientScale gradient_scale(double sum_of_squares, std::int64_t targets, double clip_norm) {
  if (targets == 0) return {};
  const double mean = 1 / static_cast<double>(targets), norm = std::sqrt(sum_of_squares) * mean;
  const bool clips = clip_norm > 0 && norm > clip_norm;
  return {.norm = norm, .factor = clips ? mean * clip_norm / norm : mean};
}

void apply_adamw(const Exec& exec, const OptimizerConfig& config, const std::vector<ParameterLayout>& table,
                 ParameterGroups& groups, const OptimizerStep& update) {
  for (int g = 0; g < groups.count(); ++g) {
    const GroupShard& shard = groups.shard(g);
    for (const GroupPiece& piece : groups.layout(g).pieces) {
      const auto part = [&](const Tensor& flat) { return shard.part(flat, piece.begin, piece.end()); };
      if (part(shard.master).numel() == 0) continue;
      const bool decays = table[static_cast<std::size_t>(piece.parameter)].decay;
      ops::adamw(exec, {.weight = part(shard.master),
                        .moment1 = part(shard.moment1),
                        .moment2 = part(shard.moment2),
                        .gradient = part(shard.gradient),
                        .working = part(shard.working),
                        .lr = update.lr,
                        .beta1 = config.betas[0],
                        .beta2 = config.betas[1],
                        .epsilon = config.eps,
                        .weight_decay = decays ? config.weight_decay : 0,
                        .step = update.step + 1,
                        .gradient_scale = update.gradient_scale});
    }
  }
  groups.weights_updated(exec);
}

}  // namespace drover
