// Attention in float32 and float64 for any processor: vectors of 16 bytes in the compiler's own notation,
// product and sum rounded apart.
#include "core/cpu/attention_tile.h"

namespace drover::cpu {
namespace {

struct Float {
  using Scalar = float;
  using Vector [[gnu::vector_size(16), gnu::may_alias]] = float;
  using Int [[gnu::vector_size(16)]] = std::int32_t;
  static constexpr int kWidth = 4, kVectors = 2;
  static Vector broadcast(float x) { return Vector{x, x, x, x}; }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return a * b + c; }
  static Vector exponential(Vector x) { return tile::exponential_float<Float, Int>(x); }
};

struct Double {
  using Scalar = double;
  using Vector [[gnu::vector_size(16), gnu::may_alias]] = double;
  static constexpr int kWidth = 2, kVectors = 2;
  static Vector broadcast(double x) { return Vector{x, x}; }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return a * b + c; }
  static Vector exponential(Vector x) { return tile::exponential_double<Double>(x); }
};

}  // namespace

AttentionKernels attention_kernels_plain(DType dtype) { return tile::kernels<Float, Double>(dtype); }

}  // namespace drover::cpu
