#include "parallel/regions/context_region.h"

#include "core/ops/ops.h"
#include "core/watch/planted_bug.h"

namespace drover {

namespace {

// out[i] = in[order[i]], rows of all heads: a table look-up like an embedding's.
void reorder(const Exec& exec, const Tensor& in, const Tensor& order, const Tensor& out) {
  ops::embedding_forward(exec, {.tokens = order, .table = rows_of(in), .out = rows_of(out)});
}

}  // namespace

int ContextRegion::groups(std::int64_t kv_heads) const {
  if (size() == 1) return 1;
  int groups = kMostGroups;
  while (kv_heads % groups != 0) groups /= 2;
  return groups;
}

ContextRegion::Gathering ContextRegion::start_gather(const Exec& exec, const Tensor& k, const Tensor& v) {
  Gathering gathering;
  gathering.local = {.k = k, .v = v};
  if (size() == 1) return gathering;
  const std::int64_t tokens = k.dims[0], count = groups(k.dims[1]), heads = k.dims[1] / count;
  for (std::int64_t g = 0; g < count; ++g) {
    Gathering::Group& group = gathering.groups[static_cast<std::size_t>(g)];
    const Tensor mine = exec.scratch.take(k.dtype, {tokens, 2 * heads, k.dims[2]});
    group.gathered = exec.scratch.take(k.dtype, {tokens * size(), 2 * heads, k.dims[2]});
    const auto part = [&](const Tensor& x, std::int64_t begin) {
      return rows_of(x.slice(1, begin, begin + heads));
    };
    ops::copy(exec, {.in = part(k, g * heads), .out = part(mine, 0)});
    ops::copy(exec, {.in = part(v, g * heads), .out = part(mine, heads)});
    group.pending = context_.all_gather(exec, {.in = mine, .out = group.gathered});
  }
  return gathering;
}

ContextRegion::KeysValues ContextRegion::finish_gather(const Exec& exec, Gathering& gathering, int group,
                                                       const KeyOrder& order) {
  if (size() == 1) return gathering.local;
  auto& [gathered, pending] = gathering.groups[static_cast<std::size_t>(group)];
  pending.wait(exec);
  const std::int64_t heads = gathered.dims[1] / 2;
  const Tensor ordered = exec.scratch.take(gathered.dtype, {gathered.dims[0], 2 * heads, gathered.dims[2]});
  reorder(exec, gathered, order.key_order, ordered);
  return {.k = ordered.slice(1, 0, heads), .v = ordered.slice(1, heads, 2 * heads)};
}

ContextRegion::Scattering ContextRegion::start_scatter(const Exec& exec, const Tensor& gradients,
                                                       const KeyOrder& order) {
  if (size() == 1) return {.local = gradients, .pending = {}};
  const std::int64_t tokens = gradients.dims[0], heads = gradients.dims[1], size_of_head = gradients.dims[2];
  const Tensor gathered = exec.scratch.take(gradients.dtype, {tokens, heads, size_of_head});
  const Tensor local = exec.scratch.take(gradients.dtype, {tokens / size(), heads, size_of_head});
  const bool swaps = injects(exec.planted, Bug::pieces_swapped_in_backward);
  reorder(exec, gradients, swaps ? order.key_order : order.gathered_order, gathered);
  return {.local = local, .pending = context_.reduce_scatter(exec, {.in = gathered, .out = local})};
}

}  // namespace drover
