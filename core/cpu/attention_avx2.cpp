// Attention in float32 and float64 for processors with AVX2 and FMA.
#include <immintrin.h>

#include "core/cpu/attention_tile.h"

namespace drover::cpu {
namespace {

struct Float {
  using Scalar = float;
  using Vector = __m256;
  using Int [[gnu::vector_size(32)]] = std::int32_t;
  static constexpr int kWidth = 8, kVectors = 2;
  static Vector broadcast(float x) { return _mm256_set1_ps(x); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static Vector exponential(Vector x) { return tile::exponential_float<Float, Int>(x); }
};

struct Double {
  using Scalar = double;
  using Vector = __m256d;
  static constexpr int kWidth = 4, kVectors = 2;
  static Vector broadcast(double x) { return _mm256_set1_pd(x); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }
  static Vector exponential(Vector x) { return tile::exponential_double<Double>(x); }
};

}  // namespace

AttentionKernels attention_kernels_avx2(DType dtype) { return tile::kernels<Float, Double>(dtype); }

}  // namespace drover::cpu
