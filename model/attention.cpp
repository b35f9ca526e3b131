#include "model/attention.h"

#include <cmath>

#include "model/linear.h"

namespace drover {

AttentionSaved AttentionSaved::take(Arena& arena, const BlockDims& dims, std::int64_t tokens) {
  return {.qkv = arena.take(dims.compute, {tokens, dims.qkv_cols()}),
          .out = arena.take(dims.compute, {tokens, dims.heads, dims.head_size}),
          .lse = arena.take(dims.master(), {dims.heads, tokens})};
}

Attention::Heads Attention::heads(const Tensor& qkv) const {
  const std::int64_t h = dims_.heads, k = dims_.kv_heads;
  const Tensor all = qkv.view({qkv.dims[0], h + 2 * k, dims_.head_size});
  return {.q = all.slice(1, 0, h),
          .k = all.slice(1, h, h + k),
          .v = all.slice(1, h + k, h + 2 * k),
          .qk = all.slice(1, 0, h + k)};
}

void Attention::rotate(const Exec& exec, const Sequence& sequence, const Tensor& in, const Tensor& out,
                       Rotation rotation) const {
  ops::rope(exec, {.x = in,
                   .cosine = rope_.cosine(),
                   .sine = rope_.sine(),
                   .positions = sequence.positions,
                   .rotation = rotation,
                   .out = out});
}

void Attention::forward(const Exec& exec, const AttentionWeights& weights, const Sequence& sequence,
                        const Tensor& x, const AttentionSaved& saved, const Tensor& y) const {
  linear_forward(exec, x, weights.qkv, saved.qkv);
  const Heads h = heads(saved.qkv);
  rotate(exec, sequence, h.qk, h.qk, Rotation::forward);
  ops::attention_forward(exec, {.q = h.q,
                                .k = h.k,
                                .v = h.v,
                                .segments = sequence.segments,
                                .scale = 1 / std::sqrt(static_cast<double>(dims_.head_size)),
                                .out = saved.out,
                                .lse = saved.lse});
  linear_forward(exec, saved.out.view({x.dims[0], dims_.attention_cols()}), weights.out, y);
}

void Attention::backward_input(const Exec& exec, const AttentionWeights& weights, const Sequence& sequence,
                               const AttentionSaved& saved, const Tensor& dy, const Tensor& dqkv,
                               const Tensor& dx) const {
  Arena::Scope scope(exec.scratch);
  const std::int64_t tokens = dy.dims[0];
  const Tensor dout = exec.scratch.take(dims_.compute, {tokens, dims_.attention_cols()});
  const Tensor dk = exec.scratch.take(dims_.master(), {tokens, dims_.kv_heads, dims_.head_size});
  const Tensor dv = exec.scratch.take(dims_.master(), {tokens, dims_.kv_heads, dims_.head_size});
  const Heads h = heads(saved.qkv), dh = heads(dqkv);
  linear_backward_input(exec, dy, weights.out, dout);
  ops::attention_backward(exec, {.q = h.q,
                                 .k = h.k,
                                 .v = h.v,
                                 .out = saved.out,
                                 .lse = saved.lse,
                                 .dout = dout.view({tokens, dims_.heads, dims_.head_size}),
                                 .segments = sequence.segments,
                                 .scale = 1 / std::sqrt(static_cast<double>(dims_.head_size)),
                                 .dq = dh.q,
                                 .dk = dk,
                                 .dv = dv});
  rotate(exec, sequence, dh.q, dh.q, Rotation::inverse);
  rotate(exec, sequence, dk, dh.k, Rotation::inverse);
  ops::copy(exec,
            {.in = dv.view({tokens, dims_.kv_heads * dims_.head_size}),
             .out = dqkv.slice(1, dims_.qkv_cols() - dims_.kv_heads * dims_.head_size, dims_.qkv_cols())});
  linear_backward_input(exec, dqkv, weights.qkv, dx);
}

void Attention::backward_weight(const Exec& exec, const AttentionSaved& saved, const Tensor& x,
                                const Tensor& dy, const Tensor& dqkv,
                                const AttentionWeights& gradients) const {
  linear_backward_weight(exec, dy, saved.out.view({x.dims[0], dims_.attention_cols()}), gradients.out);
  linear_backward_weight(exec, dqkv, x, gradients.qkv);
}

}  // namespace drover
