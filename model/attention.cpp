#include "model/attention.h"

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

Tensor Attention::of_group(const Tensor& x, int dim, int group) const {
  const std::int64_t heads = x.dims[static_cast<std::size_t>(dim)] / regions_.context.groups(dims_.kv_heads);
  return x.slice(dim, group * heads, (group + 1) * heads);
}

// qkv = x Wqkv^T, rotated. With other context ranks to hear from, keys and values come first and travel while
// the queries are computed.
ContextRegion::Gathering Attention::project(const Exec& exec, const AttentionWeights& weights,
                                            const Sequence& sequence, const Tensor& x,
                                            const Tensor& qkv) const {
  const Tensor full = regions_.tensor.take_full(exec.scratch, x);
  const Heads h = heads(qkv);
  const std::int64_t q_cols = regions_.context.size() == 1 ? 0 : dims_.attention_cols();
  regions_.tensor.gather_matmul(exec, {.product = Product::nt,
                                       .shard = x,
                                       .weight = weights.qkv.slice(0, q_cols, dims_.qkv_cols()),
                                       .full = full,
                                       .out = qkv.slice(1, q_cols, dims_.qkv_cols())});
  rotate(exec, sequence, h.k, h.k, Rotation::forward);
  auto gathering = regions_.context.start_gather(exec, h.k, h.v);
  if (q_cols > 0) linear_forward(exec, full, weights.qkv.slice(0, 0, q_cols), qkv.slice(1, 0, q_cols));
  rotate(exec, sequence, h.q, h.q, Rotation::forward);
  return gathering;
}

void Attention::forward(const Exec& exec, const AttentionWeights& weights, const Sequence& sequence,
                        const Tensor& x, const AttentionSaved& saved, const Tensor& y) const {
  Arena::Scope scope(exec.scratch);
  auto gathering = project(exec, weights, sequence, x, saved.qkv);
  for (int group = 0; group < regions_.context.groups(dims_.kv_heads); ++group) {
    Arena::Scope group_scope(exec.scratch);
    const auto [k, v] = regions_.context.finish_gather(exec, gathering, group, sequence.keys);
    ops::attention_forward(exec, {.q = of_group(heads(saved.qkv).q, 1, group),
                                  .k = k,
                                  .v = v,
                                  .segments = sequence.segments,
                                  .scale = scale(),
                                  .out = of_group(saved.out, 1, group),
                                  .lse = of_group(saved.lse, 0, group)});
  }
  regions_.tensor.matmul_scatter(exec, {.product = Product::nt,
                                        .in = saved.out.view({sequence.tokens(), dims_.attention_cols()}),
                                        .weight = weights.out,
                                        .shard = y});
}

void Attention::backward_attention(const Exec& exec, const Sequence& sequence, const AttentionSaved& saved,
                                   ContextRegion::Gathering& gathering, const Tensor& dout,
                                   const Tensor& dqkv) const {
  const Heads h = heads(saved.qkv), dh = heads(dqkv);
  const int groups = regions_.context.groups(dims_.kv_heads);
  const std::int64_t kv_heads = dims_.kv_heads / groups, keys = sequence.tokens() * regions_.context.size();
  std::array<ContextRegion::Scattering, ContextRegion::kMostGroups> scattering;
  for (int group = 0; group < groups; ++group) {
    const auto [k, v] = regions_.context.finish_gather(exec, gathering, group, sequence.keys);
    const Tensor dkv = exec.scratch.take(dims_.master(), {keys, 2 * kv_heads, dims_.head_size});
    ops::attention_backward(exec, {.q = of_group(h.q, 1, group),
                                   .k = k,
                                   .v = v,
                                   .out = of_group(saved.out, 1, group),
                                   .lse = of_group(saved.lse, 0, group),
                                   .dout = of_group(dout, 1, group),
                                   .segments = sequence.segments,
                                   .scale = scale(),
                                   .dq = of_group(dh.q, 1, group),
                                   .dk = dkv.slice(1, 0, kv_heads),
                                   .dv = dkv.slice(1, kv_heads, 2 * kv_heads)});
    scattering[static_cast<std::size_t>(group)] = regions_.context.start_scatter(exec, dkv, sequence.keys);
  }
  rotate(exec, sequence, dh.q, dh.q, Rotation::inverse);
  for (int group = 0; group < groups; ++group) {
    auto& [local, pending] = scattering[static_cast<std::size_t>(group)];
    pending.wait(exec);
    rotate(exec, sequence, local.slice(1, 0, kv_heads), of_group(dh.k, 1, group), Rotation::inverse);
    ops::copy(exec, {.in = rows_of(local.slice(1, kv_heads, 2 * kv_heads)),
                     .out = rows_of(of_group(dh.v, 1, group))});
  }
}

// Keys and values are saved: they travel while the gradient of attention's output is computed.
void Attention::backward_input(const Exec& exec, const AttentionWeights& weights, const Sequence& sequence,
                               const AttentionSaved& saved, const Tensor& dy, const Gradients& gradients,
                               const Tensor& dx, FunctionRef<void()> meanwhile) const {
  {
    Arena::Scope scope(exec.scratch);
    const std::int64_t tokens = sequence.tokens();
    const Heads saved_heads = heads(saved.qkv);
    auto gathering = regions_.context.start_gather(exec, saved_heads.k, saved_heads.v);
    const Tensor dout = exec.scratch.take(dims_.compute, {tokens, dims_.attention_cols()});
    regions_.tensor.gather_matmul(
        exec,
        {.product = Product::nn, .shard = dy, .weight = weights.out, .full = gradients.dy, .out = dout});
    backward_attention(exec, sequence, saved, gathering, dout.view({tokens, dims_.heads, dims_.head_size}),
                       gradients.dqkv);
  }
  regions_.tensor.matmul_scatter(
      exec, {.product = Product::nn, .in = gradients.dqkv, .weight = weights.qkv, .shard = dx}, meanwhile);
}

void Attention::backward_weight(const Exec& exec, const AttentionSaved& saved, const Tensor& x,
                                const Gradients& g, const AttentionWeights& gradients) const {
  Arena::Scope scope(exec.scratch);
  const Tensor full = regions_.tensor.take_full(exec.scratch, x);
  regions_.tensor.gather(exec, x, full, [&] {
    linear_backward_weight(exec, g.dy, saved.out.view({g.dy.dims[0], dims_.attention_cols()}), gradients.out);
  });
  linear_backward_weight(exec, g.dqkv, full, gradients.qkv);
}

}  // namespace drover
