// One transformer block, pre-norm (Llama): h = x + attention(norm(x)); y = h + mlp(norm(h)).
//
// The residual stream travels as a pair {x, delta} whose sum is meant: the sum is taken inside the next norm,
// which reads both anyway. So a block's input is saved as that norm's `h`.
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
  Tensor input;                         // [N, D]: x + delta
  Tensor attention_rstd, attention_in;  // [N] master, [N, D]
  AttentionSaved attention;
  Tensor middle;            // [N, D]: after attention's residual
  Tensor mlp_rstd, mlp_in;  // [N] master, [N, D]
  MlpSaved mlp;
};

// What weight gradients need beside BlockSaved.
struct BlockWeightSaved {
  Tensor dy;                   // [N, D] gradient of the block's output; not owned
  Tensor dgate_up, dmlp_in;    // [N, 2F], [N, D]
  Tensor dmiddle;              // [N, D]
  Tensor dqkv, dattention_in;  // [N, (H + 2K) E], [N, D]

  static BlockWeightSaved take(Arena& arena, const BlockDims& dims, const Tensor& dy);
};

// The residual stream between blocks: x + delta. delta is empty before the first block.
struct Residual {
  Tensor x, delta;
};

class Block {
 public:
  // `rope` outlives this.
  Block(const BlockDims& dims, const RopeTable& rope, Recompute recompute)
      : dims_(dims), recompute_(recompute), attention_(dims, rope), mlp_(dims) {}

  // Reads `stream` and replaces it by the block's output. What the policy keeps comes from `kept`; where it
  // keeps no `middle`, `spare` [N, D] holds it; `delta` [N, D] holds the new delta. The stream that comes in
  // may live in both.
  BlockSaved forward(const Exec&, const BlockWeights&, const Sequence&, Residual& stream, Arena& kept,
                     const Tensor& spare, const Tensor& delta) const;
  // The complete saved state: what the policy did not keep is computed again, into exec.scratch (the caller's
  // scope).
  BlockSaved restore(const Exec&, const BlockWeights&, const Sequence&, const BlockSaved& kept) const;
  // Both need a restored `saved`. dx [N, D], =
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

  BlockDims dims_;
  Recompute recompute_;
  Attention attention_;
  Mlp mlp_;
};

}  // namespace drover
