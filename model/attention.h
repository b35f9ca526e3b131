// Grouped-query attention with rotary positions over document segments: the first half of a block.
//
//   qkv = x Wqkv^T, q and k rotated; out = attention(q, k, v); y = out Wo^T
//
// A rank has N / TP tokens of x and y, and all N of its H / TP heads between (parallel/regions/tensor_region.h). H, K
// and F below are a rank's.
//
// q, k, v are slices of one fused product [N, (H + 2K) E], rotated in place; so what is saved is what
// attention reads.
#pragma once

#include <cmath>

#include "core/ops/backend.h"
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
  // `rope` and `regions` outlive this.
  Attention(const BlockDims& dims, const RopeTable& rope, Regions& regions)
      : dims_(dims), rope_(rope), regions_(regions) {}

  // x, y [N / TP, D]
  void forward(const Exec&, const AttentionWeights&, const Sequence&, const Tensor& x, const AttentionSaved&,
               const Tensor& y) const;
  // What backward_weight needs of backward_input.
  struct Gradients {
    Tensor dy;    // [N, D] gathered
    Tensor dqkv;  // [N, (H + 2K) E]
  };
  // dy, dx [N / TP, D]; writes `gradients`. `meanwhile` runs while dx is collected.
  void backward_input(const Exec&, const AttentionWeights&, const Sequence&, const AttentionSaved&,
                      const Tensor& dy, const Gradients&, const Tensor& dx,
                      FunctionRef<void()> meanwhile) const;
  // x [N / TP, D]
  void backward_weight(const Exec&, const AttentionSaved&, const Tensor& x, const Gradients&,
                       const AttentionWeights& gradients) const;

 private:
  struct Heads {
    Tensor q, k, v, qk;  // [N, H, E], [N, K, E], [N, K, E], [N, H + K, E]
  };
  Heads heads(const Tensor& qkv) const;
  double scale() const { return 1 / std::sqrt(static_cast<double>(dims_.head_size)); }
  // The part of a tensor whose dim `dim` is heads (query or kv) that belongs to one group of kv heads.
  Tensor of_group(const Tensor& x, int dim, int group) const;
  void rotate(const Exec&, const Sequence&, const Tensor& in, const Tensor& out, Rotation) const;
  ContextRegion::Gathering project(const Exec&, const AttentionWeights&, const Sequence&, const Tensor& x,
                                   const Tensor& qkv) const;
  void backward_attention(const Exec&, const Sequence&, const AttentionSaved&, ContextRegion::Gathering&,
                          const Tensor& dout, const Tensor& dqkv) const;

  BlockDims dims_;
  const RopeTable& rope_;
  Regions& regions_;
};

}  // namespace drover
