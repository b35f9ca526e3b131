// One transformer block, pre-norm (Llama): h = x + attention(norm(x)); y = h + mlp(norm(h)).
//
// The residual stream travels as a pair {x, delta} whose sum is meant: the sum is taken inside the next norm,
// which reads both anyway. So a block's input is saved as that norm's `h`.
//
// Stream and norms are of the S = N / TP tokens that this rank holds whole; attention and MLP pass from them to all N
// tokens of a rank's heads and ffn dims and back (parallel/regions/tensor_region.h).
#pragma once

#include "model/attention.h"
#include "model/mlp.h"

namespace drover {

// What is kept from forward to backward. Bits don't depend on it: what is not kept is computed again by the
// same verbs.
enum class Recompute : std::uint8_t {
  none,       // keep everything
  selective,  // compute norms and SwiGLU again: cheap, about a third of the memory
  full,       // keep the block's input, run its forward again
};

struct BlockWeights {
  Tensor attention_norm;  // [D]
  AttentionWeights attention;
  Tensor mlp_norm;  // [D]
  MlpWeights mlp;
};

// Both norms' outputs are modules' inputs.
struct BlockSaved {
  Tensor input;                         // [S, D]: x + delta
  Tensor attention_rstd, attention_in;  // [S] master, [S, D]
  AttentionSaved attention;
  Tensor middle;            // [S, D]: after attention's residual
  Tensor mlp_rstd, mlp_in;  // [S] master, [S, D]
  MlpSaved mlp;
};

// What weight gradients need beside BlockSaved.
struct BlockWeightSaved {
  Tensor dy;       // [S, D] gradient of the block's output; not owned
  Tensor dmlp_in;  // [S, D]
  Mlp::Gradients mlp;
  Tensor dmiddle, dattention_in;  // [S, D]
  Attention::Gradients attention;

  static BlockWeightSaved take(Arena& arena, const BlockDims& dims, const TensorRegion& region,
                               const Tensor& dy);
};

// The residual stream between blocks: x + delta. delta is empty before the first block.
struct Residual {
  Tensor x, delta;
};

class Block {
 public:
  // `rope` and `regions` outlive this.
  Block(const BlockDims& dims, const RopeTable& rope, Regions& regions, Recompute recompute)
      : dims_(dims),
        recompute_(recompute),
        region_(regions.tensor),
        attention_(dims, rope, regions),
        mlp_(dims, regions.tensor) {}

  // Reads `stream` and replaces it by the block's output. What the policy keeps comes from `kept`; where it
  // keeps no `middle`, `spare` [S, D] holds it; `delta` [S, D] holds the new delta. The stream that comes in
  // may live in both.
  BlockSaved forward(const Exec&, const BlockWeights&, const Sequence&, Residual& stream, Arena& kept,
                     const Tensor& spare, const Tensor& delta) const;
  // Whether the policy leaves anything for restore to compute; otherwise it reads no weights.
  bool restores() const { return recompute_ != Recompute::none; }
  // The complete saved state: what the policy did not keep is computed again, into exec.scratch (the caller's
  // scope).
  BlockSaved restore(const Exec&, const BlockWeights&, const Sequence&, const BlockSaved& kept) const;
  // All three need a restored `saved`. dx [S, D], = . backward is backward_input and backward_weight with weight
  // gradients computed while input gradients travel between tensor ranks: the same bits.
  void backward(const Exec&, const BlockWeights&, const Sequence&, const BlockSaved& saved,
                const BlockWeightSaved&, const Tensor& dx, const BlockWeights& gradients) const;
  void backward_input(const Exec&, const BlockWeights&, const Sequence&, const BlockSaved& saved,
                      const BlockWeightSaved&, const Tensor& dx) const;
  void backward_weight(const Exec&, const BlockSaved& saved, const BlockWeightSaved&,
                       const BlockWeights& gradients) const;

 private:
  void take_costly(Arena& arena, BlockSaved& saved, std::int64_t tokens) const;
  void take_cheap(Arena& arena, BlockSaved& saved, std::int64_t tokens) const;
  void run(const Exec&, const BlockWeights&, const Sequence&, const Residual&, const BlockSaved&,
           const Tensor& delta) const;
  void norm(const Exec&, const Tensor& weight, const Residual& in, const Tensor& sum, const Tensor& y,
            const Tensor& rstd) const;
  // Work that fits under the collection of dmlp_in, and of dattention_in.
  struct Meanwhile {
    FunctionRef<void()> mlp, attention;
  };
  void backward_input(const Exec&, const BlockWeights&, const Sequence&, const BlockSaved&,
                      const BlockWeightSaved&, const Tensor& dx, const Meanwhile&) const;
  void backward_norms(const Exec&, const BlockSaved&, const BlockWeightSaved&,
                      const BlockWeights& gradients) const;

  BlockDims dims_;
  Recompute recompute_;
  TensorRegion& region_;
  Attention attention_;
  Mlp mlp_;
};

}  // namespace drover
