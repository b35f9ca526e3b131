#include "parallel/tensor_region.h"

#include "core/fault.h"
#include "core/ops.h"

namespace drover {

namespace {

// Rows [i N / n, (i + 1) N / n).
Tensor piece_of(const Tensor& x, int piece, int pieces) {
  const std::int64_t rows = x.dims[0] / pieces;
  return x.slice(0, piece * rows, (piece + 1) * rows);
}

Tensor flat(const Tensor& x) { return x.view({x.numel()}); }

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
        tensor_.all_gather(exec, {.in = flat(piece_of(shard, p, n)), .out = flat(piece_of(full, p, n))});
}

void TensorRegion::gather(const Exec& exec, const Tensor& shard, const Tensor& full) {
  Pieces pending;
  start_gather(exec, shard, full, pending);
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

Pending TensorRegion::start_scatter(const Exec& exec, const Tensor& partial, const Tensor& shard, int piece) {
  const int n = pieces(partial.dims[0]);
  return tensor_.reduce_scatter(
      exec, {.in = flat(piece_of(partial, piece, n)), .out = flat(piece_of(shard, piece, n))});
}

void TensorRegion::scatter_sum(const Exec& exec, const Tensor& partial, const Tensor& shard) {
  Pieces pending;
  for (int p = 0; p < pieces(partial.dims[0]); ++p)
    pending[static_cast<std::size_t>(p)] = start_scatter(exec, partial, shard, p);
  for (Pending& piece : pending) piece.wait(exec);
}

void TensorRegion::matmul_scatter(const Exec& exec, const MatmulScatter& m, FunctionRef<void()> meanwhile) {
  Arena::Scope scope(exec.scratch);
  const Tensor partial = take_full(exec.scratch, m.shard);
  Pieces pending;
  const int n = pieces(partial.dims[0]);
  for (int p = 0; p < n; ++p) {
    ops::matmul(
        exec,
        {.product = m.product, .a = piece_of(m.in, p, n), .b = m.weight, .out = piece_of(partial, p, n)});
    if (m.product == Product::nn && size() > 1 &&
        injects(exec.faults, Fault::input_gradient_not_summed_over_tensor))
      ops::copy(exec,
                {.in = piece_of(piece_of(partial, p, n), rank(), size()), .out = piece_of(m.shard, p, n)});
    else
      pending[static_cast<std::size_t>(p)] = start_scatter(exec, partial, m.shard, p);
  }
  meanwhile();
  for (Pending& piece : pending) piece.wait(exec);
}

void TensorRegion::gather_parts(const Exec& exec, const Tensor& in, const Tensor& out) {
  tensor_.all_gather(exec, {.in = in, .out = out.view({out.numel()})}).wait(exec);
}

}  // namespace drover
