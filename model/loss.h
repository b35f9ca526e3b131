// The head: final norm, logits and cross-entropy, in chunks of tokens that never hold N x V logits.
//
//   y = norm(x + delta); logits = y W^T; loss = sum over valid targets of logsumexp(logits) - logits[target]
//
// The training pass also produces dy = dloss/dy and adds to dW while a chunk's logits are there, so that the
// largest product of a small model is not computed twice. The loss is a sum over tokens; whoever normalises
// divides by the global count of targets.
#pragma once

#include "core/backend.h"
#include "core/microbatch.h"
#include "model/block.h"

namespace drover {

struct HeadSaved {
  Tensor input, rstd;  // [N, D] x + delta, [N] master
  Tensor dy;           // [N, D] gradient of the norm's output

  static HeadSaved take(Arena& arena, const BlockDims& dims, std::int64_t tokens);
};

class Head {
 public:
  explicit Head(const BlockDims& dims, std::int64_t vocabulary) : dims_(dims), vocabulary_(vocabulary) {}

  // norm [D], table [V, D] (the embedding's when tied), dtable [V, D] master +=, loss [1] float64 +=.
  void train(const Exec&, const Tensor& norm, const Tensor& table, const Microbatch&, const Residual&,
             const HeadSaved&, const Tensor& dtable, const Tensor& loss) const;
  void evaluate(const Exec&, const Tensor& norm, const Tensor& table, const Microbatch&, const Residual&,
                const Tensor& loss) const;
  // logits [n, V] master, = : of the tokens [begin, begin + n).
  void logits(const Exec&, const Tensor& norm, const Tensor& table, const Residual&, std::int64_t begin,
              const Tensor& logits) const;

  // dx [N, D], = : gradient of x + delta. dnorm [D] master, +=.
  void backward_input(const Exec&, const Tensor& norm, const HeadSaved&, const Tensor& dx) const;
  void backward_weight(const Exec&, const HeadSaved&, const Tensor& dnorm) const;

  // Tokens whose logits are held at once: a function of the vocabulary alone.
  std::int64_t chunk_tokens() const;

 private:
  struct Chunk;
  Tensor normalise(const Exec&, const Tensor& norm, const Residual&, const Tensor& input,
                   const Tensor& rstd) const;
  Chunk losses(const Exec&, const Tensor& table, const Microbatch&, const Tensor& y, std::int64_t begin,
               const Tensor& loss) const;

  BlockDims dims_;
  std::int64_t vocabulary_;
};

}  // namespace drover
