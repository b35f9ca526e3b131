#include "model/block.h"

namespace drover {

BlockWeightSaved BlockWeightSaved::take(Arena& arena, const BlockDims& dims, const TensorRegion& region,
                                        const Tensor& dy) {
  const std::int64_t shard = dy.dims[0], tokens = shard * region.size();
  BlockWeightSaved saved{.dy = dy};
  saved.dmlp_in = arena.take(dims.compute, {shard, dims.hidden});
  saved.mlp = {.dy = region.take_full(arena, dy),
               .dgate_up = arena.take(dims.compute, {tokens, 2 * dims.ffn})};
  saved.dmiddle = arena.take(dims.compute, {shard, dims.hidden});
  saved.dattention_in = arena.take(dims.compute, {shard, dims.hidden});
  saved.attention = {.dy = region.take_full(arena, saved.dmiddle),
                     .dqkv = arena.take(dims.compute, {tokens, dims.qkv_cols()})};
  return saved;
}

// Results of products and attention.
void Block::take_costly(Arena& arena, BlockSaved& saved, std::int64_t tokens) const {
  const std::int64_t shard = region_.shard_tokens(tokens);
  saved.attention_rstd = arena.take(dims_.master(), {shard});
  saved.attention = AttentionSaved::take(arena, dims_, tokens);
  saved.middle = arena.take(dims_.compute, {shard, dims_.hidden});
  saved.mlp_rstd = arena.take(dims_.master(), {shard});
  saved.mlp.gate_up = arena.take(dims_.compute, {tokens, 2 * dims_.ffn});
}

// One pass over memory away from what is costly.
void Block::take_cheap(Arena& arena, BlockSaved& saved, std::int64_t tokens) const {
  const std::int64_t shard = region_.shard_tokens(tokens);
  saved.attention_in = arena.take(dims_.compute, {shard, dims_.hidden});
  saved.mlp_in = arena.take(dims_.compute, {shard, dims_.hidden});
  saved.mlp.hidden = arena.take(dims_.compute, {tokens, dims_.ffn});
}

void Block::norm(const Exec& exec, const Tensor& weight, const Residual& in, const Tensor& sum,
                 const Tensor& y, const Tensor& rstd) const {
  ops::rmsnorm_forward(exec, {.x = in.x,
                              .delta = in.delta,
                              .weight = weight,
                              .epsilon = dims_.epsilon,
                              .h = in.delta.empty() ? Tensor{} : sum,
                              .y = y,
                              .rstd = rstd});
}

// All but the last product, which nothing in backward reads.
void Block::run(const Exec& exec, const BlockWeights& weights, const Sequence& sequence,
                const Residual& stream, const BlockSaved& saved, const Tensor& delta) const {
  norm(exec, weights.attention_norm, stream, saved.input, saved.attention_in, saved.attention_rstd);
  attention_.forward(exec, weights.attention, sequence, saved.attention_in, saved.attention, delta);
  norm(exec, weights.mlp_norm, {.x = saved.input, .delta = delta}, saved.middle, saved.mlp_in,
       saved.mlp_rstd);
  mlp_.gate_up(exec, weights.mlp, saved.mlp_in, saved.mlp);
}

BlockSaved Block::forward(const Exec& exec, const BlockWeights& weights, const Sequence& sequence,
                          Residual& stream, Arena& kept, const Tensor& spare, const Tensor& delta) const {
  Arena::Scope scope(exec.scratch);
  const std::int64_t tokens = sequence.tokens();
  BlockSaved saved;
  saved.input = stream.delta.empty() ? stream.x : kept.take(dims_.compute, {stream.x.dims[0], dims_.hidden});
  take_costly(recompute_ == Recompute::full ? exec.scratch : kept, saved, tokens);
  if (recompute_ == Recompute::full) saved.middle = spare;
  take_cheap(recompute_ == Recompute::none ? kept : exec.scratch, saved, tokens);
  run(exec, weights, sequence, stream, saved, delta);
  mlp_.down(exec, weights.mlp, saved.mlp, delta);
  stream = {.x = saved.middle, .delta = delta};
  return saved;
}

BlockSaved Block::restore(const Exec& exec, const BlockWeights& weights, const Sequence& sequence,
                          const BlockSaved& kept) const {
  if (!restores()) return kept;
  const std::int64_t tokens = sequence.tokens();
  BlockSaved saved = kept;
  take_cheap(exec.scratch, saved, tokens);
  if (recompute_ == Recompute::full) {
    take_costly(exec.scratch, saved, tokens);
    const Tensor delta = exec.scratch.take(dims_.compute, {saved.input.dims[0], dims_.hidden});
    run(exec, weights, sequence, {.x = saved.input}, saved, delta);
    return saved;
  }
  norm(exec, weights.attention_norm, {.x = saved.input}, {}, saved.attention_in, saved.attention_rstd);
  norm(exec, weights.mlp_norm, {.x = saved.middle}, {}, saved.mlp_in, saved.mlp_rstd);
  mlp_.hidden(exec, saved.mlp);
  return saved;
}

void Block::backward_input(const Exec& exec, const BlockWeights& weights, const Sequence& sequence,
                           const BlockSaved& saved, const BlockWeightSaved& grad, const Tensor& dx,
                           const Meanwhile& meanwhile) const {
  mlp_.backward_input(exec, weights.mlp, saved.mlp, grad.dy, grad.mlp, grad.dmlp_in, meanwhile.mlp);
  ops::rmsnorm_backward_input(exec, {.dy = grad.dmlp_in,
                                     .h = saved.middle,
                                     .weight = weights.mlp_norm,
                                     .rstd = saved.mlp_rstd,
                                     .dresidual = grad.dy,
                                     .dh = grad.dmiddle});
  attention_.backward_input(exec, weights.attention, sequence, saved.attention, grad.dmiddle, grad.attention,
                            grad.dattention_in, meanwhile.attention);
  ops::rmsnorm_backward_input(exec, {.dy = grad.dattention_in,
                                     .h = saved.input,
                                     .weight = weights.attention_norm,
                                     .rstd = saved.attention_rstd,
                                     .dresidual = grad.dmiddle,
                                     .dh = dx});
}

void Block::backward_norms(const Exec& exec, const BlockSaved& saved, const BlockWeightSaved& grad,
                           const BlockWeights& gradients) const {
  ops::rmsnorm_backward_weight(
      exec, {.dy = grad.dmlp_in, .h = saved.middle, .rstd = saved.mlp_rstd, .dweight = gradients.mlp_norm});
  ops::rmsnorm_backward_weight(exec, {.dy = grad.dattention_in,
                                      .h = saved.input,
                                      .rstd = saved.attention_rstd,
                                      .dweight = gradients.attention_norm});
}

void Block::backward(const Exec& exec, const BlockWeights& weights, const Sequence& sequence,
                     const BlockSaved& saved, const BlockWeightSaved& grad, const Tensor& dx,
                     const BlockWeights& gradients) const {
  const auto mlp = [&] { mlp_.backward_weight(exec, saved.mlp, saved.mlp_in, grad.mlp, gradients.mlp); };
  const auto attention = [&] {
    attention_.backward_weight(exec, saved.attention, saved.attention_in, grad.attention,
                               gradients.attention);
  };
  backward_input(exec, weights, sequence, saved, grad, dx, {.mlp = mlp, .attention = attention});
  backward_norms(exec, saved, grad, gradients);
}

void Block::backward_input(const Exec& exec, const BlockWeights& weights, const Sequence& sequence,
                           const BlockSaved& saved, const BlockWeightSaved& grad, const Tensor& dx) const {
  const auto nothing = [] {};
  backward_input(exec, weights, sequence, saved, grad, dx, {.mlp = nothing, .attention = nothing});
}

void Block::backward_weight(const Exec& exec, const BlockSaved& saved, const BlockWeightSaved& grad,
                            const BlockWeights& gradients) const {
  mlp_.backward_weight(exec, saved.mlp, saved.mlp_in, grad.mlp, gradients.mlp);
  attention_.backward_weight(exec, saved.attention, saved.attention_in, grad.attention, gradients.attention);
  backward_norms(exec, saved, grad, gradients);
}

}  // namespace drover
