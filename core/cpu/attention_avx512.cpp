// Attention in float32 and float64 for processors with AVX-512.
#include <immintrin.h>

#include "core/cpu/attention_tile.h"

namespace drover::cpu {
namespace {

struct Float {
  using Scalar = float;
  using Vector = __m512;
  using Int [[gnu::vector_size(64)]] = std::int32_t;
  static constexpr int kWidth = 16, kVectors = 4;
  static Vector broadcast(float x) { return _mm512_set1_ps(x); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static Vector exponential(Vector x) { return tile::exponential_float<Float, Int>(x); }
};

struct Double {
  using Scalar = double;
  using Vector = __m512d;
  static constexpr int kWidth = 8, kVectors = 4;
  static Vector broadcast(double x) { return _mm512_set1_pd(x); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_pd(a, b, c); }
  static Vector exponential(Vector x) { return tile::exponential_double<Double>(x); }
};

}  // namespace

AttentionKernels attention_kernels_avx512(DType dtype) { return tile::kernels<Float, Double>(dtype); }

}  // namespace drover::cpu
