// The vocabulary of computation: what a device must be able to do to train a Llama. Model code calls the
// functions of core/ops/ops.h, which check shapes once for all backends and then call the verb here.
//
// Conventions, for every verb:
//   - shape legend: N tokens of a microbatch (rows x T, packed), D model dim, H query heads, K kv heads,
//     E head dim, F ffn dim, V vocabulary (or a rank's part of it), n any number;
//   - "compute" is the run's compute dtype, "master" is master_dtype(compute): float32, or float64 when
//     proving;
//   - outputs are marked `=` (overwritten) or `+=` (added to). No output may overlap an input unless a line
//     says so;
//   - matrices may have a row stride; the innermost dim is contiguous;
//   - sums, softmax and norms accumulate in float32 or wider; bits depend on shapes alone, never on the number
//     of threads;
//   - tensors with null data: do nothing (shape-only runs go through the counting backend);
//   - verbs that need memory proportional to their operands say how much with scratch_bytes and get it as
//     `scratch`.
// Adding an op: CONTRIBUTING.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/ops/exec.h"
#include "core/tensor/segment.h"
#include "core/tensor/tensor.h"

namespace drover {

enum class Write : std::uint8_t { assign, add };  // out = x, or out += x

// ---- data movement
// out = value, any shape
struct Fill {
  Tensor out;
  double value = 0;
};
// out (+)= in, converting dtypes; same shape, as matrices
struct Copy {
  Tensor in, out;
  Write write = Write::assign;
};
// x = x * factor; contiguous, master
struct Scale {
  Tensor x;
  double factor = 1;
};

// ---- products, row-major, accumulated in float32 (float64)
//   nt: out[M,N] (+)= a[M,K]   b[N,K]^T    forward of a linear: y = x W^T
//   nn: out[M,N] (+)= a[M,K]   b[K,N]      input gradient:      dx = dy W
//   tn: out[M,N] (+)= a[K,M]^T b[K,N]      weight gradient:     dW = dy^T x
enum class Product : std::uint8_t { nt, nn, tn };
struct Matmul {
  Product product = Product::nt;
  Tensor a, b;                  // compute (or master), equal dtypes
  Tensor out;                   // the operands' dtype or master
  Write write = Write::assign;  // add only where out is master
};

// ---- RMSNorm (Zhang and Sennrich 2019, eq. 4), with the residual sum before it fused in
// h = x + delta (delta may be empty: h = x); rstd[i] = 1 / sqrt(mean_d h[i,d]^2 + epsilon); y = h * rstd * weight
struct RmsNormForward {
  Tensor x, delta;  // [N, D] compute; delta may be empty
  Tensor weight;    // [D] compute
  double epsilon = 1e-5;
  Tensor h;     // [N, D] compute, = ; required with delta (may be x itself), empty without
  Tensor y;     // [N, D] compute, =
  Tensor rstd;  // [N] master, =
};
// With g = dy * weight: dh = dresidual + rstd * (g - h * rstd^2 * mean_d(g * h))
struct RmsNormBackwardInput {
  Tensor dy, h;         // [N, D] compute
  Tensor weight, rstd;  // [D] compute, [N] master
  Tensor dresidual;     // [N, D] compute; empty: 0. May be dh itself
  Tensor dh;            // [N, D] compute, =
};
// dweight[d] += sum_i dy[i,d] * h[i,d] * rstd[i]
struct RmsNormBackwardWeight {
  Tensor dy, h, rstd;   // [N, D], [N, D] compute, [N] master
  Tensor dweight;       // [D] master, +=
  Tensor scratch = {};  // set by ops
};

// ---- rotary positions (Su et al. 2021; halves rotated as in Hugging Face's Llama)
// For e < E/2, with the angle from the table's row of the token's position:
//   forward: out[e] = x[e] cos - x[e + E/2] sin;  out[e + E/2] = x[e + E/2] cos + x[e] sin
//   inverse: sin negated (the gradient of forward)
enum class Rotation : std::uint8_t { forward, inverse };
struct Rope {
  Tensor x;             // [N, heads, E] compute or master
  Tensor cosine, sine;  // [positions, E/2] master
  Tensor positions;     // [N] int32, each below `positions`
  Rotation rotation = Rotation::forward;
  Tensor out;  // [N, heads, E] compute or master, = ; may be x itself
};

// ---- attention over segments (core/tensor/segment.h), never T x T
// out[q] = sum over visible k of softmax(scale * Q[q] . K[k]) V[k]; query head h reads kv head h / (H / K). A range
// of kv heads is a slice of the head dim of every tensor. Flash attention (Dao 2023, algorithms 1 and 2).
struct AttentionForward {
  Tensor q;     // [Nq, H, E] compute
  Tensor k, v;  // [Nk, K, E] compute
  std::span<const Segment> segments;
  double scale = 1;
  Tensor out;           // [Nq, H, E] compute, =
  Tensor lse;           // [H, Nq] master, = ; log of the softmax's denominator, natural
  Tensor scratch = {};  // set by ops
};
struct AttentionBackward {
  Tensor q, k, v, out, lse;  // as in forward
  Tensor dout;               // [Nq, H, E] compute
  std::span<const Segment> segments;
  double scale = 1;
  Tensor dq;            // [Nq, H, E] compute, =
  Tensor dk, dv;        // [Nk, K, E] master, contiguous per token, = (sums over segments and query heads)
  Tensor scratch = {};  // set by ops
};

// ---- SwiGLU (Shazeer 2020): y = silu(gate) * up
struct SwigluForward {
  Tensor gate_up;  // [N, 2F] compute, gate first
  Tensor y;        // [N, F] compute, =
};
struct SwigluBackward {
  Tensor gate_up, dy;  // [N, 2F], [N, F] compute
  Tensor dgate_up;     // [N, 2F] compute, = ; may be gate_up itself
};

// ---- embedding
// Row r of the table is token first_token + r; tokens outside the table's range read as 0 and give no gradient (a
// vocabulary-parallel rank's part).
struct EmbeddingForward {
  Tensor tokens, table;  // [N] int32, [V, D] compute
  Tensor out;            // [N, D] compute, =
  std::int64_t first_token = 0;
};
struct EmbeddingBackward {
  Tensor tokens, dout;  // [N] int32, [N, D] compute
  Tensor dtable;        // [V, D] master, += ; rows are added in token order
  std::int64_t first_token = 0;
  Tensor scratch = {};  // set by ops
};

// ---- cross-entropy in three verbs, so that a vocabulary cut over ranks is the same code
// 1. per row of logits: maximum, sum of exp(logit - maximum), and the target's logit (0 when not in this part)
struct LossStatistics {
  Tensor logits;   // [n, V] master
  Tensor targets;  // [n] int32; -1: no target
  std::int64_t first_token = 0;
  Tensor maximum, sum, target_logit;  // [n] master, =
};
// 2. combine R parts in part order: lse = log sum over parts; loss += sum of lse - target_logit over rows with a
//    target
struct LossCombine {
  Tensor maximum, sum, target_logit;  // [R, n] master
  Tensor targets;                     // [n] int32
  Tensor lse;                         // [n] master, =
  Tensor loss;                        // [1] float64, +=
};
// 3. dlogits = softmax(logits) - onehot(target), 0 for rows without target: the gradient of the summed loss
struct LossGradient {
  Tensor logits, targets, lse;  // [n, V] master, [n] int32, [n] master
  std::int64_t first_token = 0;
  Tensor dlogits;  // [n, V] compute, = ; may be logits itself where dtypes agree
};

// ---- optimizer
// AdamW (Loshchilov and Hutter 2019, algorithm 2, decoupled decay scaled by lr as PyTorch does), t = step from 1:
//   g = gradient * gradient_scale;  w *= 1 - lr * weight_decay
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
//   w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps);  working = w
struct AdamW {
  Tensor weight, moment1, moment2;  // [n] master, updated
  Tensor gradient;                  // [n] master
  Tensor working;                   // [n] compute, =
  double lr = 0, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-5, weight_decay = 0;
  std::int64_t step = 1;
  double gradient_scale = 1;
};
// out += sum of x^2 in float64, in an order fixed by n
struct SumOfSquares {
  Tensor x;    // [n] master
  Tensor out;  // [1] float64, +=
};

// ---- reductions of collectives: out = parts[0] op parts[1] op ..., in that order
enum class Reduction : std::uint8_t { sum, max, min };
struct Combine {
  Reduction reduction = Reduction::sum;
  std::span<const Tensor> parts;  // R >= 1 tensors [n], same dtype: float64, float32, bfloat16, int64
  // [n] that dtype, = ; each may be any of the parts. bfloat16 sums in float32, rounds once
  Tensor out;
  std::span<const Tensor> copies = {};  // get the same as out
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual Memory& memory() = 0;
  // Part of the numerics fingerprint: instruction path and library versions ("cpu avx512_bf16,
  // onednn 2.6.3").
  virtual std::string describe() const = 0;
  // Blocks the host until all work of the stream has happened. Nothing on a CPU.
  virtual void synchronize(Stream stream) = 0;
  // Makes what the backend keeps for a shape of a product, so that later products of that shape allocate
  // nothing. Operands may be shapes only.
  virtual void prepare(const Matmul&) {}

  virtual void fill(const Exec&, const Fill&) = 0;
  virtual void copy(const Exec&, const Copy&) = 0;
  virtual void scale(const Exec&, const Scale&) = 0;
  virtual void matmul(const Exec&, const Matmul&) = 0;
  virtual void rmsnorm_forward(const Exec&, const RmsNormForward&) = 0;
  virtual void rmsnorm_backward_input(const Exec&, const RmsNormBackwardInput&) = 0;
  virtual void rmsnorm_backward_weight(const Exec&, const RmsNormBackwardWeight&) = 0;
  virtual void rope(const Exec&, const Rope&) = 0;
  virtual void attention_forward(const Exec&, const AttentionForward&) = 0;
  virtual void attention_backward(const Exec&, const AttentionBackward&) = 0;
  virtual void swiglu_forward(const Exec&, const SwigluForward&) = 0;
  virtual void swiglu_backward(const Exec&, const SwigluBackward&) = 0;
  virtual void embedding_forward(const Exec&, const EmbeddingForward&) = 0;
  virtual void embedding_backward(const Exec&, const EmbeddingBackward&) = 0;
  virtual void loss_statistics(const Exec&, const LossStatistics&) = 0;
  virtual void loss_combine(const Exec&, const LossCombine&) = 0;
  virtual void loss_gradient(const Exec&, const LossGradient&) = 0;
  virtual void adamw(const Exec&, const AdamW&) = 0;
  virtual void sum_of_squares(const Exec&, const SumOfSquares&) = 0;
  virtual void combine(const Exec&, const Combine&) = 0;

  // Bytes of `scratch`, from shapes alone; 0 where none is needed.
  virtual std::int64_t scratch_bytes(const RmsNormBackwardWeight&) const = 0;
  virtual std::int64_t scratch_bytes(const AttentionForward&) const = 0;
  virtual std::int64_t scratch_bytes(const AttentionBackward&) const = 0;
  virtual std::int64_t scratch_bytes(const EmbeddingBackward&) const = 0;
};

}  // namespace drover
