#include "model/loss.h"

#include <algorithm>

#include "model/linear.h"

namespace drover {

HeadSaved HeadSaved::take(Arena& arena, const BlockDims& dims, std::int64_t tokens) {
  return {.input = arena.take(dims.compute, {tokens, dims.hidden}),
          .rstd = arena.take(dims.master(), {tokens}),
          .dy = arena.take(dims.compute, {tokens, dims.hidden})};
}

// 16 MiB of float32 logits, which a last-level cache holds, but enough rows to keep products efficient.
std::int64_t Head::chunk_tokens() const {
  constexpr std::int64_t kLogits = 1 << 22, kMinimum = 256, kUnit = 64;
  return std::max(kMinimum, kLogits / vocabulary_ / kUnit * kUnit);
}

struct Head::Chunk {
  Tensor y, logits, targets, lse;
};

Tensor Head::normalise(const Exec& exec, const Tensor& norm, const Residual& stream, const Tensor& input,
                       const Tensor& rstd) const {
  const Tensor y = exec.scratch.take(dims_.compute, {stream.x.dims[0], dims_.hidden});
  ops::rmsnorm_forward(exec, {.x = stream.x,
                              .delta = stream.delta,
                              .weight = norm,
                              .epsilon = dims_.epsilon,
                              .h = stream.delta.empty() ? Tensor{} : input,
                              .y = y,
                              .rstd = rstd});
  const Tensor full = region_.take_full(exec.scratch, y);
  region_.gather(exec, y, full);
  return full;
}

// Logits of one chunk of tokens, their log-sum-exp, and the loss added up. From the caller's scratch scope.
Head::Chunk Head::losses(const Exec& exec, const Tensor& table, const Microbatch& batch, const Tensor& y,
                         std::int64_t begin, const Tensor& loss) const {
  const std::int64_t end = std::min(begin + chunk_tokens(), y.dims[0]), n = end - begin;
  const std::int64_t ranks = region_.size();
  const Chunk chunk{.y = y.slice(0, begin, end),
                    .logits = exec.scratch.take(dims_.master(), {n, vocabulary_}),
                    .targets = batch.targets.slice(0, begin, end),
                    .lse = exec.scratch.take(dims_.master(), {n})};
  const Tensor mine = exec.scratch.take(dims_.master(), {3 * n});  // maximum, sum, target's logit
  const Tensor all = exec.scratch.take(dims_.master(), {ranks, 3 * n});
  linear_forward(exec, chunk.y, table, chunk.logits);
  ops::loss_statistics(exec, {.logits = chunk.logits,
                              .targets = chunk.targets,
                              .first_token = first_token(),
                              .maximum = mine.slice(0, 0, n),
                              .sum = mine.slice(0, n, 2 * n),
                              .target_logit = mine.slice(0, 2 * n, 3 * n)});
  region_.gather_parts(exec, mine, all);
  ops::loss_combine(exec, {.maximum = all.slice(1, 0, n),
                           .sum = all.slice(1, n, 2 * n),
                           .target_logit = all.slice(1, 2 * n, 3 * n),
                           .targets = chunk.targets,
                           .lse = chunk.lse,
                           .loss = loss});
  return chunk;
}

void Head::train(const Exec& exec, const Tensor& norm, const Tensor& table, const Microbatch& batch,
                 const Residual& stream, const HeadSaved& saved, const Tensor& dtable,
                 const Tensor& loss) const {
  Arena::Scope scope(exec.scratch);
  const Tensor y = normalise(exec, norm, stream, saved.input, saved.rstd);
  const Tensor dy = region_.take_partial(exec.scratch, saved.dy);
  for (std::int64_t begin = 0; begin < batch.size(); begin += chunk_tokens()) {
    Arena::Scope chunk_scope(exec.scratch);
    const Chunk chunk = losses(exec, table, batch, y, begin, loss);
    const Tensor dlogits = exec.scratch.take(dims_.compute, {chunk.y.dims[0], vocabulary_});
    ops::loss_gradient(exec, {.logits = chunk.logits,
                              .targets = chunk.targets,
                              .lse = chunk.lse,
                              .first_token = first_token(),
                              .dlogits = dlogits});
    linear_backward_input(exec, dlogits, table, dy.slice(0, begin, begin + chunk.y.dims[0]));
    linear_backward_weight(exec, dlogits, chunk.y, dtable);
  }
  region_.scatter_sum(exec, dy, saved.dy);
}

void Head::evaluate(const Exec& exec, const Tensor& norm, const Tensor& table, const Microbatch& batch,
                    const Residual& stream, const Tensor& loss) const {
  Arena::Scope scope(exec.scratch);
  const std::int64_t tokens = stream.x.dims[0];
  const Tensor sum = exec.scratch.take(dims_.compute, {tokens, dims_.hidden});
  const Tensor y = normalise(exec, norm, stream, sum, exec.scratch.take(dims_.master(), {tokens}));
  for (std::int64_t begin = 0; begin < batch.size(); begin += chunk_tokens()) {
    Arena::Scope chunk_scope(exec.scratch);
    losses(exec, table, batch, y, begin, loss);
  }
}

void Head::logits(const Exec& exec, const Tensor& norm, const Tensor& table, const Residual& stream,
                  std::int64_t begin, const Tensor& logits) const {
  Arena::Scope scope(exec.scratch);
  const std::int64_t tokens = stream.x.dims[0];
  const Tensor sum = exec.scratch.take(dims_.compute, {tokens, dims_.hidden});
  const Tensor y = normalise(exec, norm, stream, sum, exec.scratch.take(dims_.master(), {tokens}));
  linear_forward(exec, y.slice(0, begin, begin + logits.dims[0]), table, logits);
}

void Head::backward_input(const Exec& exec, const Tensor& norm, const HeadSaved& saved,
                          const Tensor& dx) const {
  ops::rmsnorm_backward_input(
      exec, {.dy = saved.dy, .h = saved.input, .weight = norm, .rstd = saved.rstd, .dh = dx});
}

void Head::backward_weight(const Exec& exec, const HeadSaved& saved, const Tensor& dnorm) const {
  ops::rmsnorm_backward_weight(exec,
                               {.dy = saved.dy, .h = saved.input, .rstd = saved.rstd, .dweight = dnorm});
}

}  // namespace drover
