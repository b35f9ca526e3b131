// Grouped-query attention with rotary positions over document segments: the first half of a block.
//
//   qkv = x Wqkv^T, q and k rotated; out = attention(q, k, v); y = out Wo^T
//
// q, k, v are slices of one fused product [N, (H + 2K) E], rotated in place; so what is saved is what
// attention reads.
#pragma once

#include "core/backend.h"
#include "model/dims.h"
#include "model/rope.h"

namespace drover {

struct AttentionWeights {
  Tensor qkv;  // [(H + 2K) E, D]: rows of q, k, v
  Tensor out;  // [D, H E]
};

struct AttentionSaved {
  Tensor qkv;  // [N, (H + 2K) E], after rotation
  Tensor out;  // [N, H, E]
  Tensor lse;  // [H, N] master

  static AttentionSaved take(Arena& arena, const BlockDims& dims, std::int64_t tokens);
};

class Attention {
 public:
  // `rope` outlives this.
  Attention(const BlockDims& dims, const RopeTable& rope) : dims_(dims), rope_(rope) {}

  // x, y [N, D]
  void forward(const Exec&, const AttentionWeights&, const Sequence&, const Tensor& x, const AttentionSaved&,
               const Tensor& y) const;
  // dy, dx [N, D]; dqkv [N, (H + 2K) E] is what backward_weight needs.
  void backward_input(const Exec&, const AttentionWeights&, const Sequence&, const AttentionSaved&,
                      const Tensor& dy, const Tensor& dqkv, const Tensor& dx) const;
  void backward_weight(const Exec&, const AttentionSaved&, const Tensor& x, const Tensor& dy,
                       const Tensor& dqkv, const AttentionWeights& gradients) const;

 private:
  struct Heads {
    Tensor q, k, v, qk;  // [N, H, E], [N, K, E], [N, K, E], [N, H + K, E]
  };
  Heads heads(const Tensor& qkv) const;
  void rotate(const Exec&, const Sequence&, const Tensor& in, const Tensor& out, Rotation) const;

  BlockDims dims_;
  const RopeTable& rope_;
};

}  // namespace drover
