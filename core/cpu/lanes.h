// Vectors of the instruction set a file is compiled for. Only core/cpu/kernels_*.cpp may include this:
// everything here is a template over the set, or private to one.
//
// Built on the compiler's vector extension, so that one text serves every set; a set only adds what the
// extension can't say: fused multiply-add and square root.
#pragma once

#include <math.h>

#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/tensor/dtype.h"
#include "core/tensor/tensor.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace drover::cpu {

template <class Scalar, int N>
struct VectorOf {
  typedef Scalar type __attribute__((vector_size(N * sizeof(Scalar))));
};
template <class Scalar, int N>
using Vector = typename VectorOf<Scalar, N>::type;

// What any processor can do: 16-byte vectors.
struct Plain {
  static constexpr int kBytes = 16;
  template <class V>
  static V fma(V a, V b, V c) {
    return a * b + c;
  }
  template <class V>
  static V sqrt(V x) {
    for (unsigned lane = 0; lane < sizeof(V) / sizeof(x[0]); ++lane)
      x[lane] = sizeof(x[0]) == 4 ? __builtin_sqrtf(static_cast<float>(x[lane])) : __builtin_sqrt(x[lane]);
    return x;
  }
};

#ifdef __AVX2__
struct Avx2 {
  static constexpr int kBytes = 32;
  static Vector<float, 8> fma(Vector<float, 8> a, Vector<float, 8> b, Vector<float, 8> c) {
    return _mm256_fmadd_ps(a, b, c);
  }
  static Vector<double, 4> fma(Vector<double, 4> a, Vector<double, 4> b, Vector<double, 4> c) {
    return _mm256_fmadd_pd(a, b, c);
  }
  static Vector<float, 8> sqrt(Vector<float, 8> x) { return _mm256_sqrt_ps(x); }
  static Vector<double, 4> sqrt(Vector<double, 4> x) { return _mm256_sqrt_pd(x); }
};
#endif

#ifdef __AVX512F__
struct Avx512 {
  static constexpr int kBytes = 64;
  static Vector<float, 16> fma(Vector<float, 16> a, Vector<float, 16> b, Vector<float, 16> c) {
    return _mm512_fmadd_ps(a, b, c);
  }
  static Vector<double, 8> fma(Vector<double, 8> a, Vector<double, 8> b, Vector<double, 8> c) {
    return _mm512_fmadd_pd(a, b, c);
  }
  static Vector<float, 16> sqrt(Vector<float, 16> x) { return _mm512_sqrt_ps(x); }
  static Vector<double, 8> sqrt(Vector<double, 8> x) { return _mm512_sqrt_pd(x); }
};
#endif

// How many lanes of a vector a step of a loop uses.
struct AllLanes {};
struct FirstLanes {
  int count;
};

// Arithmetic in Scalar (float or double); loads and stores convert from and to any narrower element type.
template <class Isa, class Scalar>
struct Lanes {
  static constexpr int kCount = Isa::kBytes / static_cast<int>(sizeof(Scalar));
  using V = Vector<Scalar, kCount>;
  using Floats = Vector<float, kCount>;
  using Words = Vector<std::uint32_t, kCount>;
  using Halves = Vector<std::uint16_t, kCount>;

  [[gnu::always_inline]] static V all(Scalar x) { return x - V{}; }

  template <class T>
  [[gnu::always_inline]] static V load(const T* from, AllLanes = {}) {
    if constexpr (std::is_same_v<T, bfloat16>) {
      const Words words = __builtin_convertvector(read<Halves>(from), Words) << 16;
      return __builtin_convertvector(reinterpret_cast<Floats>(words), V);
    } else {
      return __builtin_convertvector((read<Vector<T, kCount>>(from)), V);
    }
  }
  // Lanes beyond the count read as `rest`.
  template <class T>
  [[gnu::always_inline]] static V load(const T* from, FirstLanes lanes, Scalar rest = 0) {
    V x = all(rest);
    for (int lane = 0; lane < lanes.count; ++lane) x[lane] = widen(from[lane]);
    return x;
  }
  template <class T>
  [[gnu::always_inline]] static V load(const T* from, AllLanes, Scalar) {
    return load(from);
  }

  template <class T>
  [[gnu::always_inline]] static void store(T* to, V x, AllLanes = {}) {
    if constexpr (std::is_same_v<T, bfloat16>) {
      write(to, rounded(__builtin_convertvector(x, Floats)));
    } else {
      write(to, __builtin_convertvector(x, Vector<T, kCount>));
    }
  }
  template <class T>
  [[gnu::always_inline]] static void store(T* to, V x, FirstLanes lanes) {
    T whole[kCount];
    store(whole, x);
    for (int lane = 0; lane < lanes.count; ++lane) to[lane] = whole[lane];
  }
  // What a reader of a stored T will see.
  template <class T>
  [[gnu::always_inline]] static V as_stored(V x) {
    if constexpr (std::is_same_v<T, bfloat16>) {
      const Words words = __builtin_convertvector(rounded(__builtin_convertvector(x, Floats)), Words) << 16;
      return __builtin_convertvector(reinterpret_cast<Floats>(words), V);
    } else {
      return x;
    }
  }

  [[gnu::always_inline]] static V fma(V a, V b, V c) { return Isa::fma(a, b, c); }
  [[gnu::always_inline]] static V sqrt(V x) { return Isa::sqrt(x); }
  [[gnu::always_inline]] static V maximum(V a, V b) { return a > b ? a : b; }

  // By halves: the order is fixed by the number of lanes.
  [[gnu::always_inline]] static Scalar sum(V x) {
    for (int half = kCount / 2; half > 0; half /= 2)
      for (int lane = 0; lane < half; ++lane) x[lane] += x[lane + half];
    return x[0];
  }
  [[gnu::always_inline]] static Scalar largest(V x) {
    Scalar result = x[0];
    for (int lane = 1; lane < kCount; ++lane) result = x[lane] > result ? x[lane] : result;
    return result;
  }

  // Rows become columns: log2(kCount) rounds, each interleaving the first half of the rows with the second.
  [[gnu::always_inline]] static void turn(V (&rows)[kCount]) {
    for (int round = 1; round < kCount; round *= 2) {
      V turned[kCount];
      for (int i = 0; i < kCount / 2; ++i) {
        turned[2 * i] = interleave<0>(rows[i], rows[i + kCount / 2], std::make_index_sequence<kCount>{});
        turned[2 * i + 1] =
            interleave<kCount / 2>(rows[i], rows[i + kCount / 2], std::make_index_sequence<kCount>{});
      }
      for (int i = 0; i < kCount; ++i) rows[i] = turned[i];
    }
  }

  // About 2 units in the last place in float32 (libm in float64). Arguments are clamped to [-87.3, 88]; NaN
  // stays NaN.
  [[gnu::always_inline]] static V exp(V x) {
    if constexpr (std::is_same_v<Scalar, double>) {
      for (int lane = 0; lane < kCount; ++lane) x[lane] = ::exp(x[lane]);
      return x;
    } else {
      return exp_float(x);
    }
  }
  [[gnu::always_inline]] static V sigmoid(V x) { return Scalar(1) / (Scalar(1) + exp(-x)); }

  template <class T>
  [[gnu::always_inline]] static Scalar widen(T x) {
    if constexpr (std::is_same_v<T, bfloat16>)
      return static_cast<Scalar>(__builtin_bit_cast(float, static_cast<std::uint32_t>(x.bits) << 16));
    else
      return static_cast<Scalar>(x);
  }

 private:
  // x[first], y[first], x[first + 1], y[first + 1], ...
  template <int kFirst, std::size_t... kLane>
  [[gnu::always_inline]] static V interleave(V x, V y, std::index_sequence<kLane...>) {
    return __builtin_shufflevector(x, y, (kFirst + kLane / 2 + kLane % 2 * kCount)...);
  }
  template <class Raw>
  [[gnu::always_inline]] static Raw read(const void* from) {
    Raw raw;
    __builtin_memcpy(&raw, from, sizeof raw);
    return raw;
  }
  template <class Raw>
  [[gnu::always_inline]] static void write(void* to, Raw raw) {
    __builtin_memcpy(to, &raw, sizeof raw);
  }
  // bfloat16's constructor, lane by lane.
  [[gnu::always_inline]] static Halves rounded(Floats x) {
    const Words words = reinterpret_cast<Words>(x);
    const Words nearest = (words + 0x7fffu + ((words >> 16) & 1u)) >> 16;
    const Words nan = (words >> 16) | 0x40u;
    return __builtin_convertvector((words & 0x7fffffffu) > 0x7f800000u ? nan : nearest, Halves);
  }
  // 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2, e^r by the polynomial of Cephes' expf.
  [[gnu::always_inline]] static V exp_float(V x) {
    x = x < -87.3f ? all(-87.3f) : x;  // in this order a NaN passes
    x = x > 88.0f ? all(88.0f) : x;
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    const V shifted = fma(x, all(1.44269504f), all(kRound));
    const V n = shifted - kRound;
    const V r = fma(n, all(2.12194440e-4f), fma(n, all(-0.693359375f), x));
    V p = fma(all(1.9875691500e-4f), r, all(1.3981999507e-3f));
    p = fma(p, r, all(8.3334519073e-3f));
    p = fma(p, r, all(4.1665795894e-2f));
    p = fma(p, r, all(1.6666665459e-1f));
    p = fma(p, r, all(5.0000001201e-1f));
    p = fma(p, r * r, r) + 1.0f;
    const Words power = (reinterpret_cast<Words>(shifted) - __builtin_bit_cast(std::uint32_t, kRound) + 127u)
                        << 23;
    return p * reinterpret_cast<V>(power);
  }
};

// body(i, lanes) for i = 0, kCount, 2 kCount, ...; the last step may use the first lanes only.
template <class L, class Body>
[[gnu::always_inline]] inline void for_lanes(std::int64_t n, Body body) {
  std::int64_t i = 0;
  for (; i + L::kCount <= n; i += L::kCount) body(i, AllLanes{});
  if (i < n) body(i, FirstLanes{static_cast<int>(n - i)});
}

template <class T>
using MasterOf = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Row i of a matrix (or element i of a vector) whose dtype the caller knows. Tensor::as would be a function
// shared by files of different instruction sets.
template <class Isa, class T>
[[gnu::always_inline]] inline T* row_of(const Tensor& tensor, std::int64_t i) {
  return static_cast<T*>(tensor.data) + i * tensor.strides[0];
}

}  // namespace drover::cpu
