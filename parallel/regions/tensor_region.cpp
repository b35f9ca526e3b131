#include "parallel/regions/tensor_region.h"

#include "core/ops/ops.h"
#include "core/watch/planted_bug.h"

namespace drover {

namespace {

// Rows [i N / n, (i + 1) N / n).
Tensor piece_of(const Tensor& x, int piece, int pieces) {
  const std::int64_t rows = x.dims[0] / pieces;
  return x.slice(0, piece * rows, (piece + 1) * rows);
}

}  // namespace

// As many as leave each product enough rows to run at full speed.
int TensorRegion::pieces(std::int64_t tokens) const {
  constexpr std::int64_t kLeastTokens = 128;
  if (size() == 1) return 1;
  int pieces = kMostPieces;
  while (pieces > 1 && (tokens % (pieces * size()) != 0 || tokens / pieces < kLeastTokens)) pieces /= 2;
  return pieces;
}

std::int64_t TensorRegion::shard_tokens(std::int64_t tokens) const {
  DROVER_CHECK(tokens % size() == 0, tokens, " tokens over ", size(), " tensor ranks");
  return tokens / size();
}

Tensor TensorRegion::take_full(Arena& arena, const Tensor& shard) const {
  return size() == 1 ? shard : arena.take(shard.dtype, {shard.dims[0] * size(), shard.dims[1]});
}

void TensorRegion::start_gather(const Exec& exec, const Tensor& shard, const Tensor& full, Pieces& pending) {
  const int n = pieces(full.dims[0]);
  for (int p = 0; p < n; ++p)
    pending[static_cast<std::size_t>(p)] =
        tensor_.all_gather(exec, {.in = piece_of(shard, p, n), .out = piece_of(full, p, n)});
}

void TensorRegion::gather(const Exec& exec, const Tensor& shard, const Tensor& full,
                          FunctionRef<void()> meanwhile) {
  Pieces pending;
  start_gather(exec, shard, full, pending);
  meanwhile();
  for (Pending& piece : pending) piece.wait(exec);
}

void TensorRegion::gather_matmul(const Exec& exec, const GatherMatmul& m) {
  Pieces pending;
  start_gather(exec, m.shard, m.full, pending);
  const int n = pieces(m.full.dims[0]);
  for (int p = 0; p < n; ++p) {
    pending[static_cast<std::size_t>(p)].wait(exec);
    ops::matmul(
        exec,
        {.product = m.product, .a = piece_of(m.full, p, n), .b = m.weight, .out = piece_of(m.out, p, n)});
  }
}

Tensor TensorRegion::take_partial(Arena& arena, const Tensor& shard) const {
  return size() == 1 ? shard : arena.take(master_dtype(shard.dtype), {shard.dims[0] * size(), shard.dims[1]});
}

// Where the sum arrives before it is rounded: the shard itself where there is nothing to round.
Tensor TensorRegion::take_sum(Arena& arena, const Tensor& partial, const Tensor& shard) const {
  return partial.dtype == shard.dtype ? shard : arena.take(partial.dtype, {shard.dims[0], shard.dims[1]});
}

Pending TensorRegion::start_scatter(const Exec& exec, const Tensor& partial, const Tensor& sum, int piece) {
  const int n = pieces(partial.dims[0]);
  return tensor_.reduce_scatter(exec, {.in = piece_of(partial, piece, n), .out = piece_of(sum, piece, n)});
}

void TensorRegion::finish_scatter(const Exec& exec, Pieces& pending, const Tensor& sum, const Tensor& shard) {
  for (Pending& piece : pending) piece.wait(exec);
  if (sum.dtype != shard.dtype) ops::copy(exec, {.in = sum, .out = shard});
}

void TensorRegion::scatter_sum(const Exec& exec, const Tensor& partial, const Tensor& shard) {
  Arena::Scope scope(exec.scratch);
  const Tensor sum = take_sum(exec.scratch, partial, shard);
  Pieces pending;
  for (int p = 0; p < pieces(partial.dims[0]); ++p)
    pending[static_cast<std::size_t>(p)] = start_scatter(exec, partial, sum, p);
  finish_scatter(exec, pending, sum, shard);
}

void TensorRegion::matmul_scatter(const Exec& exec, const MatmulScatter& m, FunctionRef<void()> meanwhile) {
  Arena::Scope scope(exec.scratch);
  const Tensor partial = take_partial(exec.scratch, m.shard), sum = take_sum(exec.scratch, partial, m.shard);
  Pieces pending;
  const int n = pieces(partial.dims[0]);
  for (int p = 0; p < n; ++p) {
    const Tensor piece = piece_of(partial, p, n);
    ops::matmul(exec, {.product = m.product, .a = piece_of(m.in, p, n), .b = m.weight, .out = piece});
    if (m.product == Product::nn && size() > 1 &&
        injects(exec.planted, Bug::input_gradient_not_summed_over_tensor))
      ops::copy(exec, {.in = piece_of(piece, rank(), size()), .out = piece_of(sum, p, n)});
    else
      pending[static_cast<std::size_t>(p)] = start_scatter(exec, partial, sum, p);
  }
  meanwhile();
  finish_scatter(exec, pending, sum, m.shard);
}

void TensorRegion::gather_parts(const Exec& exec, const Tensor& in, const Tensor& out) {
  tensor_.all_gather(exec, {.in = in, .out = out}).wait(exec);
}

}  // namespace drover
