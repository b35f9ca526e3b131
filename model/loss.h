// The head: final norm, logits and cross-entropy, in chunks of tokens that never hold N x V logits.
//
//   y = norm(x + delta); logits = y W^T; loss = sum over valid targets of logsumexp(logits) - logits[target]
//
// The training pass also produces dy = dloss/dy and adds to dW while a chunk's logits are there, so that the
// largest product of a small model is not computed twice. The loss is a sum over tokens; whoever normalises
// divides by the global count of targets.
//
// A rank has S = N / TP tokens of the stream and V / TP rows of the table: it collects the other ranks' normalised
// tokens, computes its part of all logits, and the ranks combine maxima and sums of exponentials (Shoeybi et al.
// 2019, section 3). So each of them ends with the loss of all N tokens. V below is a rank's part.
#pragma once

#include "core/ops/backend.h"
#include "core/tensor/microbatch.h"
#include "model/block.h"

namespace drover {

struct HeadSaved {
  Tensor input, rstd;  // [S, D] x + delta, [S] master
  Tensor dy;           // [S, D] gradient of the norm's output

  static HeadSaved take(Arena& arena, const BlockDims& dims, std::int64_t shard_tokens);
};

class Head {
 public:
  // `vocabulary`: of the whole model, a multiple of TP; `region` outlives this.
  Head(const BlockDims& dims, std::int64_t vocabulary, TensorRegion& region)
      : dims_(dims), vocabulary_(vocabulary / region.size()), region_(region) {}

  // norm [D], table [V, D] (the embedding's when tied), dtable [V, D] master +=, loss [1] float64 +=.
  void train(const Exec&, const Tensor& norm, const Tensor& table, const Microbatch&, const Residual&,
             const HeadSaved&, const Tensor& dtable, const Tensor& loss) const;
  void evaluate(const Exec&, const Tensor& norm, const Tensor& table, const Microbatch&, const Residual&,
                const Tensor& loss) const;
  // logits [n, V] master, = : of the tokens [begin, begin + n). On a rank that is alone with the model.
  void logits(const Exec&, const Tensor& norm, const Tensor& table, const Residual&, std::int64_t begin,
              const Tensor& logits) const;

  // dx [S, D], = : gradient of x + delta. dnorm [D] master, +=.
  void backward_input(const Exec&, const Tensor& norm, const HeadSaved&, const Tensor& dx) const;
  void backward_weight(const Exec&, const HeadSaved&, const Tensor& dnorm) const;

  // Tokens whose logits are held at once: a function of the vocabulary alone.
  std::int64_t chunk_tokens() const;

 private:
  struct Chunk;
  // All N tokens of norm(x + delta), from the caller's scratch scope.
  Tensor normalise(const Exec&, const Tensor& norm, const Residual&, const Tensor& input,
                   const Tensor& rstd) const;
  Chunk losses(const Exec&, const Tensor& table, const Microbatch&, const Tensor& y, std::int64_t begin,
               const Tensor& loss) const;

  std::int64_t first_token() const { return vocabulary_ * region_.rank(); }

  BlockDims dims_;
  std::int64_t vocabulary_;
  TensorRegion& region_;
};

}  // namespace drover
