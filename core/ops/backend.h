// The vocabulary of computation: what a device must be able to do to train a Llama. Model code calls the
// functions of core/ops/ops.h, which check shapes once for all backends and then call the verb here.
//
// Conventions, for every verb:
//   - shape legend: N tokens of a microbatch (rows x T, packed), D model dim, H query heads, K kv heads,
//     E head dim, F ffn dim, V vocabulary (or a rank's part of it), n any number;
//   - "compute" is the run's compute dtype, "master" is master_dtype(compute): float32, or float64 when
//     proving;
//   - operands() says how each tensor is used (core/ops/operand.h): reads; assigns (=), whatever was there; updates
//     (+=, or in place). What is written overlaps no other operand, unless it or_is exactly that one;
//   - matrices may have a row stride; the innermost dim is contiguous;
//   - sums, softmax and norms accumulate in float32 or wider; bits depend on shapes alone, never on the number
//     of threads;
//   - tensors with null data: do nothing (shape-only runs go through the counting backend);
//   - verbs that need memory proportional to their operands say how much with scratch_bytes and get it as
//     `scratch` (core/ops/ops.h sets it).
// Adding an op: CONTRIBUTING.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/ops/exec.h"
#include "core/ops/operand.h"
#include "core/tensor/segment.h"
#include "core/tensor/tensor.h"

namespace drover {

// ---- data movement
// out = value, any shape
struct Fill {
  static constexpr std::string_view kVerb = "fill";
  Tensor out;
  double value = 0;
  auto operands() const { return std::array{assigns("out", out)}; }
};
// out (+)= in, converting dtypes; same shape, as matrices
struct Copy {
  static constexpr std::string_view kVerb = "copy";
  Tensor in, out;
  Write write = Write::assign;
  auto operands() const { return std::array{reads("in", in), writes("out", out, write)}; }
};
// x = x * factor; contiguous, master
struct Scale {
  static constexpr std::string_view kVerb = "scale";
  Tensor x;
  double factor = 1;
  auto operands() const { return std::array{updates("x", x)}; }
};

// ---- products, row-major, accumulated in float32 (float64)
//   nt: out[M,N] (+)= a[M,K]   b[N,K]^T    forward of a linear: y = x W^T
//   nn: out[M,N] (+)= a[M,K]   b[K,N]      input gradient:      dx = dy W
//   tn: out[M,N] (+)= a[K,M]^T b[K,N]      weight gradient:     dW = dy^T x
enum class Product : std::uint8_t { nt, nn, tn };
struct Matmul {
  static constexpr std::string_view kVerb = "matmul";
  Product product = Product::nt;
  Tensor a, b;                  // compute (or master), equal dtypes
  Tensor out;                   // the operands' dtype or master
  Write write = Write::assign;  // add only where out is master
  auto operands() const { return std::array{reads("a", a), reads("b", b), writes("out", out, write)}; }
};

// ---- RMSNorm (Zhang and Sennrich 2019, eq. 4), with the residual sum before it fused in
// h = x + delta (delta may be empty: h = x); rstd[i] = 1 / sqrt(mean_d h[i,d]^2 + epsilon); y = h * rstd * weight
struct RmsNormForward {
  static constexpr std::string_view kVerb = "rmsnorm_forward";
  Tensor x, delta;  // [N, D] compute; delta may be empty
  Tensor weight;    // [D] compute
  double epsilon = 1e-5;
  Tensor h;     // [N, D] compute; comes with delta, empty without
  Tensor y;     // [N, D] compute
  Tensor rstd;  // [N] master
  auto operands() const {
    return std::array{reads("x", x),           reads("delta", delta).or_empty(),
                      reads("weight", weight), assigns("h", h).or_empty().or_is("x"),
                      assigns("y", y),         assigns("rstd", rstd)};
  }
};
// With g = dy * weight: dh = dresidual + rstd * (g - h * rstd^2 * mean_d(g * h))
struct RmsNormBackwardInput {
  static constexpr std::string_view kVerb = "rmsnorm_backward_input";
  Tensor dy, h;         // [N, D] compute
  Tensor weight, rstd;  // [D] compute, [N] master
  Tensor dresidual;     // [N, D] compute; empty: 0
  Tensor dh;            // [N, D] compute
  auto operands() const {
    return std::array{reads("dy", dy),
                      reads("h", h),
                      reads("weight", weight),
                      reads("rstd", rstd),
                      reads("dresidual", dresidual).or_empty(),
                      assigns("dh", dh).or_is("dresidual")};
  }
};
// dweight[d] += sum_i dy[i,d] * h[i,d] * rstd[i]
struct RmsNormBackwardWeight {
  static constexpr std::string_view kVerb = "rmsnorm_backward_weight";
  Tensor dy, h, rstd;  // [N, D], [N, D] compute, [N] master
  Tensor dweight;      // [D] master
  Tensor scratch = {};
  auto operands() const {
    return std::array{reads("dy", dy), reads("h", h), reads("rstd", rstd), updates("dweight", dweight),
                      takes_scratch(scratch)};
  }
};

// ---- rotary positions (Su et al. 2021; halves rotated as in Hugging Face's Llama)
// For e < E/2, with the angle from the table's row of the token's position:
//   forward: out[e] = x[e] cos - x[e + E/2] sin;  out[e + E/2] = x[e + E/2] cos + x[e] sin
//   inverse: sin negated (the gradient of forward)
enum class Rotation : std::uint8_t { forward, inverse };
struct Rope {
  static constexpr std::string_view kVerb = "rope";
  Tensor x;             // [N, heads, E] compute or master
  Tensor cosine, sine;  // [positions, E/2] master
  Tensor positions;     // [N] int32, each below `positions`
  Rotation rotation = Rotation::forward;
  Tensor out;  // [N, heads, E] compute or master
  auto operands() const {
    return std::array{reads("x", x), reads("cosine", cosine).by_rows(), reads("sine", sine).by_rows(),
                      reads("positions", positions), assigns("out", out).or_is("x")};
  }
};

// ---- attention over segments (core/tensor/segment.h), never T x T
// out[q] = sum over visible k of softmax(scale * Q[q] . K[k]) V[k]; query head h reads kv head h / (H / K). A range
// of kv heads is a slice of the head dim of every tensor. Flash attention (Dao 2023, algorithms 1 and 2).
struct AttentionForward {
  static constexpr std::string_view kVerb = "attention_forward";
  Tensor q;     // [Nq, H, E] compute
  Tensor k, v;  // [Nk, K, E] compute
  std::span<const Segment> segments;
  double scale = 1;
  Tensor out;  // [Nq, H, E] compute
  Tensor lse;  // [H, Nq] master; log of the softmax's denominator, natural
  Tensor scratch = {};
  auto operands() const {
    return std::array{reads("q", q),       reads("k", k),       reads("v", v),
                      assigns("out", out), assigns("lse", lse), takes_scratch(scratch)};
  }
};
struct AttentionBackward {
  static constexpr std::string_view kVerb = "attention_backward";
  Tensor q, k, v, out, lse;  // as in forward
  Tensor dout;               // [Nq, H, E] compute
  std::span<const Segment> segments;
  double scale = 1;
  Tensor dq;      // [Nq, H, E] compute
  Tensor dk, dv;  // [Nk, K, E] master, contiguous per token (sums over segments and query heads)
  Tensor scratch = {};
  auto operands() const {
    return std::array{reads("q", q),     reads("k", k),         reads("v", v),     reads("out", out),
                      reads("lse", lse), reads("dout", dout),   assigns("dq", dq), assigns("dk", dk),
                      assigns("dv", dv), takes_scratch(scratch)};
  }
};

// ---- SwiGLU (Shazeer 2020): y = silu(gate) * up
struct SwigluForward {
  static constexpr std::string_view kVerb = "swiglu_forward";
  Tensor gate_up;  // [N, 2F] compute, gate first
  Tensor y;        // [N, F] compute
  auto operands() const { return std::array{reads("gate_up", gate_up), assigns("y", y)}; }
};
struct SwigluBackward {
  static constexpr std::string_view kVerb = "swiglu_backward";
  Tensor gate_up, dy;  // [N, 2F], [N, F] compute
  Tensor dgate_up;     // [N, 2F] compute
  auto operands() const {
    return std::array{reads("gate_up", gate_up), reads("dy", dy),
                      assigns("dgate_up", dgate_up).or_is("gate_up")};
  }
};

// ---- embedding
// Row r of the table is token first_token + r; tokens outside the table's range read as 0 and give no gradient (a
// vocabulary-parallel rank's part).
struct EmbeddingForward {
  static constexpr std::string_view kVerb = "embedding_forward";
  Tensor tokens, table;  // [N] int32, [V, D] compute
  Tensor out;            // [N, D] compute
  std::int64_t first_token = 0;
  auto operands() const {
    return std::array{reads("tokens", tokens), reads("table", table).by_rows(), assigns("out", out)};
  }
};
struct EmbeddingBackward {
  static constexpr std::string_view kVerb = "embedding_backward";
  Tensor tokens, dout;  // [N] int32, [N, D] compute
  Tensor dtable;        // [V, D] master; rows are added in token order
  std::int64_t first_token = 0;
  Tensor scratch = {};
  auto operands() const {
    return std::array{reads("tokens", tokens), reads("dout", dout), updates("dtable", dtable).by_rows(),
                      takes_scratch(scratch)};
  }
};

// ---- cross-entropy in three verbs, so that a vocabulary cut over ranks is the same code
// 1. per row of logits: maximum, sum of exp(logit - maximum), and the target's logit (0 when not in this part)
struct LossStatistics {
  static constexpr std::string_view kVerb = "loss_statistics";
  Tensor logits;   // [n, V] master
  Tensor targets;  // [n] int32; -1: no target
  std::int64_t first_token = 0;
  Tensor maximum, sum, target_logit;  // [n] master
  auto operands() const {
    return std::array{reads("logits", logits), reads("targets", targets), assigns("maximum", maximum),
                      assigns("sum", sum), assigns("target_logit", target_logit)};
  }
};
// 2. combine R parts in part order: lse = log sum over parts; loss += sum of lse - target_logit over rows with a
//    target
struct LossCombine {
  static constexpr std::string_view kVerb = "loss_combine";
  Tensor maximum, sum, target_logit;  // [R, n] master
  Tensor targets;                     // [n] int32
  Tensor lse;                         // [n] master
  Tensor loss;                        // [1] float64
  auto operands() const {
    return std::array{reads("maximum", maximum), reads("sum", sum),   reads("target_logit", target_logit),
                      reads("targets", targets), assigns("lse", lse), updates("loss", loss)};
  }
};
// 3. dlogits = softmax(logits) - onehot(target), 0 for rows without target: the gradient of the summed loss
struct LossGradient {
  static constexpr std::string_view kVerb = "loss_gradient";
  Tensor logits, targets, lse;  // [n, V] master, [n] int32, [n] master
  std::int64_t first_token = 0;
  Tensor dlogits;  // [n, V] compute
  auto operands() const {
    return std::array{reads("logits", logits), reads("targets", targets), reads("lse", lse),
                      assigns("dlogits", dlogits).or_is("logits")};
  }
};

// ---- optimizer
// AdamW (Loshchilov and Hutter 2019, algorithm 2, decoupled decay scaled by lr as PyTorch does), t = step from 1:
//   g = gradient * gradient_scale;  w *= 1 - lr * weight_decay
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
//   w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps);  working = w
struct AdamW {
  static constexpr std::string_view kVerb = "adamw";
  Tensor weight, moment1, moment2;  // [n] master
  Tensor gradient;                  // [n] master
  Tensor working;                   // [n] compute
  double lr = 0, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-5, weight_decay = 0;
  std::int64_t step = 1;
  double gradient_scale = 1;
  auto operands() const {
    return std::array{updates("weight", weight), updates("moment1", moment1), updates("moment2", moment2),
                      reads("gradient", gradient), assigns("working", working)};
  }
};
// out += sum of x^2 in float64, in an order fixed by n
struct SumOfSquares {
  static constexpr std::string_view kVerb = "sum_of_squares";
  Tensor x;    // [n] master
  Tensor out;  // [1] float64
  auto operands() const { return std::array{reads("x", x), updates("out", out)}; }
};

// ---- reductions of collectives: out = parts[0] op parts[1] op ..., in that order
enum class Reduction : std::uint8_t { sum, max, min };
struct Combine {
  static constexpr std::string_view kVerb = "combine";
  Reduction reduction = Reduction::sum;
  std::span<const Tensor> parts;  // R >= 1 tensors [n], same dtype: float64, float32, bfloat16, int64
  // [n] that dtype. bfloat16 sums in float32, rounds once
  Tensor out;
  std::span<const Tensor> copies = {};  // get the same as out
  auto operands() const {
    return std::array{reads("parts", parts), assigns("out", out).or_is("parts"),
                      assigns("copies", copies).or_empty().or_is("parts")};
  }
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
