// What the two files of bfloat16 attention share: packing, the exponential, and products of bfloat16 pairs.
// Included by *_avx512bf16.cpp only.
//
// Layouts. dpbf16 multiplies pairs of neighbours and adds both products to a float32, so every operand is
// made of dwords that hold two values adjacent in the summed dim:
//   lane columns  [E / 2][lanes]      pairs over e, 16 lanes a vector: queries for scores, gradients for dP
//   key rows      [keys][E]           plain rows; a dword broadcast is a pair over e
//   key panels    [E / 8][keys / 2][8]  pairs over keys, 8 values of e side by side
// E is the head dim padded with zeros to a multiple of 32 (a template argument).
#pragma once

// GCC's own headers start "undefined" vectors from themselves (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <cstdint>

#include "core/cpu/attention_kernels.h"

#define DROVER_UNROLL _Pragma("GCC unroll 32")
#define DROVER_INLINE [[gnu::always_inline]] inline

namespace drover::cpu::bf16 {

using Half = std::uint16_t;                 // the bits of a bfloat16
using Pair = std::uint32_t;                 // two of them
inline constexpr int kVector = 16;          // lanes of a vector
inline constexpr int kGroup = 3 * kVector;  // lanes whose running sums fill the registers
inline constexpr int kGroups = 8;           // groups that share a tile of keys
inline constexpr int kLanes = kGroups * kGroup;
inline constexpr float kLog2E = 1.44269504f, kLn2 = 0.69314718f;

constexpr int round_up(int n, int unit) { return (n + unit - 1) / unit * unit; }
DROVER_INLINE int smaller(int a, int b) { return a < b ? a : b; }

// Pieces of one thread's workspace, aligned to vectors.
class Workspace {
 public:
  explicit Workspace(void* data) : next_(static_cast<char*>(data)) {}
  template <class T>
  void take(T*& piece, std::int64_t count) {
    piece = reinterpret_cast<T*>(next_);
    next_ += (count * static_cast<std::int64_t>(sizeof(T)) + 63) / 64 * 64;
  }

 private:
  char* next_;
};

// Lanes [begin, begin + count) of a task, one group.
struct Group {
  int begin, count;
  int vectors() const { return (count + kVector - 1) / kVector; }
};
inline Group group_of(std::int64_t block_begin, std::int64_t block_end, int group) {
  const auto begin = static_cast<int>(block_begin) + group * kGroup;
  return {begin, smaller(kGroup, static_cast<int>(block_end) - begin)};
}

// Which lanes of a group see a key: those from first_lane(key) on. Keys count from the tile's first.
struct Edge {
  int origin, step;  // first_lane(j) = origin + j * step
  Edge(const AttentionTask& task, int lane_begin, int key_begin)
      : origin(static_cast<int>((key_begin - (task.kv_length - task.q_length)) * task.group - lane_begin)),
        step(static_cast<int>(task.group)) {}
  int first_lane(int key) const { return origin + key * step; }
  __mmask16 seen(int key, int vector) const {
    const int hidden = first_lane(key) - vector * kVector;
    return static_cast<__mmask16>(hidden <= 0 ? 0xffffu : hidden >= kVector ? 0u : 0xffffu << hidden);
  }
};
inline int keys_seen(const AttentionTask& task, std::int64_t lane) {
  return static_cast<int>(task.kv_length - task.q_length + lane / task.group + 1);
}

// ---- arithmetic
DROVER_INLINE __m512 add_pairs(__m512 sum, __m512 a, __m512 b) {
  return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}
DROVER_INLINE __m512 broadcast_pair(const void* p) {
  return _mm512_castsi512_ps(_mm512_set1_epi32(*static_cast<const std::int32_t*>(p)));
}
// Keeps the order of the source: the compiler otherwise schedules one exponential after the other, each
// waiting for itself.
DROVER_INLINE void keep_here(__m512& x) { asm("" : "+v"(x)); }

// x = 2^x: round, polynomial of degree 4 on [-1/2, 1/2] (minimax, 3e-6), scale. -1e30 gives exactly 0.
template <int N>
DROVER_INLINE void exp2_all(__m512 (&x)[N]) {
  constexpr float kCoefficients[] = {9.999992614e-01f, 6.931218146e-01f, 2.402474484e-01f, 5.591786159e-02f,
                                     9.570101947e-03f};
  __m512 n[N], p[N];
  DROVER_UNROLL for (int i = 0; i < N; ++i) keep_here(n[i] = _mm512_roundscale_ps(x[i], _MM_FROUND_NO_EXC));
  DROVER_UNROLL for (int i = 0; i < N; ++i) keep_here(x[i] = _mm512_sub_ps(x[i], n[i]));
  DROVER_UNROLL for (int i = 0; i < N; ++i) p[i] = _mm512_set1_ps(kCoefficients[4]);
  DROVER_UNROLL for (int k = 3; k >= 0; --k) DROVER_UNROLL for (int i = 0; i < N; ++i)
      keep_here(p[i] = _mm512_fmadd_ps(p[i], x[i], _mm512_set1_ps(kCoefficients[k])));
  DROVER_UNROLL for (int i = 0; i < N; ++i) keep_here(x[i] = _mm512_scalef_ps(p[i], n[i]));
}

// log2(x), x > 0: mantissa m in [0.75, 1.5), s = (m - 1) / (m + 1), series of atanh to s^9: 1e-7.
DROVER_INLINE __m512 log2(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.f), m = _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src);
  __m512 exponent = _mm512_getexp_ps(x);
  exponent = _mm512_mask_add_ps(exponent, _mm512_cmp_ps_mask(m, one, _CMP_LT_OQ), exponent, one);
  const __m512 s = _mm512_div_ps(_mm512_sub_ps(m, one), _mm512_add_ps(m, one)), square = _mm512_mul_ps(s, s);
  __m512 sum = _mm512_set1_ps(1.f / 9);
  for (const float c : {1.f / 7, 1.f / 5, 1.f / 3, 1.f})
    sum = _mm512_fmadd_ps(sum, square, _mm512_set1_ps(c));
  return _mm512_fmadd_ps(_mm512_mul_ps(sum, s), _mm512_set1_ps(2 * kLog2E), exponent);
}

// Dword i = (bfloat16(low[i]), bfloat16(high[i])).
DROVER_INLINE __m512i interleave(__m512i halves) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, halves);
}
DROVER_INLINE __m512i round_both(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }
DROVER_INLINE __m512i round_to_pairs(__m512 low, __m512 high) { return interleave(round_both(low, high)); }

// rows[r] of 16 dwords -> columns: four rounds of swapping halves of growing blocks.
DROVER_INLINE void transpose16(__m512i (&r)[16]) {
  __m512i t[16];
  DROVER_UNROLL for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  DROVER_UNROLL for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  DROVER_UNROLL for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  DROVER_UNROLL for (int i = 0; i < 8; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

// ---- packing
// Columns [e, e + 32) and [e, e + 16) of a row that ends at head_dim; zeros, unread, behind it.
DROVER_INLINE __mmask32 columns_of(std::int64_t head_dim, int e) {
  const std::int64_t left = head_dim - e;
  return left >= 32 ? ~0u : left <= 0 ? 0u : (1u << left) - 1;
}
DROVER_INLINE __m512i load32(const Half* row, std::int64_t head_dim, int e) {
  return _mm512_maskz_loadu_epi16(columns_of(head_dim, e), row + e);
}
DROVER_INLINE __m256i load16(const Half* row, std::int64_t head_dim, int e) {
  return _mm256_maskz_loadu_epi16(static_cast<__mmask16>(columns_of(head_dim, e)), row + e);
}
DROVER_INLINE __m512i pair_rows(__m256i low, __m256i high) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

DROVER_INLINE Half* lane_row(const AttentionTask& task, const HeadRows& rows, std::int64_t lane) {
  return static_cast<Half*>(rows.data) + lane / task.group * rows.row_stride +
         lane % task.group * rows.head_stride;
}
DROVER_INLINE const Half* key_row(const HeadRows& rows, std::int64_t key) {
  return static_cast<const Half*>(rows.data) + key * rows.row_stride;
}

// Rows of up to 16 lanes as columns: out[e / 2][stride], zeros for missing lanes.
template <int E>
void pack_columns(const AttentionTask& task, const HeadRows& rows, int lane, int count, Pair* out,
                  int stride) {
  const Half* row[kVector];
  for (int i = 0; i < kVector; ++i) row[i] = i < count ? lane_row(task, rows, lane + i) : nullptr;
  for (int e = 0; e < E; e += 32) {
    __m512i r[16];
    DROVER_UNROLL for (int i = 0; i < 16; ++i) r[i] =
        row[i] ? load32(row[i], task.head_dim, e) : _mm512_setzero_si512();
    transpose16(r);
    DROVER_UNROLL for (int i = 0; i < 16; ++i) _mm512_store_si512(out + (e / 2 + i) * stride, r[i]);
  }
}

template <int E>
void pack_group(const AttentionTask& task, const HeadRows& rows, const Group& group, Pair* out) {
  const int lanes = group.vectors() * kVector;
  for (int v = 0; v < lanes; v += kVector)
    pack_columns<E>(task, rows, group.begin + v, smaller(kVector, group.count - v), out + v, lanes);
}

// columns[e][lanes] * factor[lane], rounded, to the rows of the group's lanes.
template <int E>
void store_group(const AttentionTask& task, const HeadRows& rows, const Group& group, const float* columns,
                 const float* factor) {
  const int lanes = group.vectors() * kVector;
  for (int v = 0; v < lanes; v += kVector) {
    const __m512 by = _mm512_loadu_ps(factor + v);
    for (int e = 0; e < E; e += 32) {
      __m512i r[16];
      DROVER_UNROLL for (int i = 0; i < 16; ++i) {
        const float* column = columns + (e + 2 * i) * lanes + v;
        r[i] = round_to_pairs(_mm512_mul_ps(_mm512_load_ps(column), by),
                              _mm512_mul_ps(_mm512_load_ps(column + lanes), by));
      }
      transpose16(r);
      for (int i = 0; i < smaller(kVector, group.count - v); ++i)
        _mm512_mask_storeu_epi16(lane_row(task, rows, group.begin + v + i) + e, columns_of(task.head_dim, e),
                                 r[i]);
    }
  }
}

template <int E>
void pack_key_rows(const AttentionTask& task, const HeadRows& rows, int begin, int count, int padded,
                   Half* out) {
  for (int j = 0; j < padded; ++j)
    for (int e = 0; e < E; e += 32)
      _mm512_store_si512(out + j * E + e, j < count ? load32(key_row(rows, begin + j), task.head_dim, e)
                                                    : _mm512_setzero_si512());
}

// kKeys: the keys a panel has room for.
template <int E, int kKeys>
void pack_key_panels(const AttentionTask& task, const HeadRows& rows, int begin, int count, int padded,
                     Pair* out) {
  const __m256i zero = _mm256_setzero_si256();
  for (int j = 0; j < padded; j += 2) {
    for (int e = 0; e < E; e += 16) {
      const __m256i low = j < count ? load16(key_row(rows, begin + j), task.head_dim, e) : zero;
      const __m256i high = j + 1 < count ? load16(key_row(rows, begin + j + 1), task.head_dim, e) : zero;
      const __m512i pairs = pair_rows(low, high);
      Pair* panel = out + e / 8 * (kKeys / 2) * 8 + j / 2 * 8;
      _mm256_store_si256(reinterpret_cast<__m256i*>(panel), _mm512_castsi512_si256(pairs));
      _mm256_store_si256(reinterpret_cast<__m256i*>(panel + kKeys / 2 * 8),
                         _mm512_extracti64x4_epi64(pairs, 1));
    }
  }
}

// ---- products over keys

// columns[e][lanes] = columns * shrink + sum over keys of panel(e, key) weights(key, lane)
// weights: [keys / 2][lanes], pairs over keys. shrink: one factor a lane, or null for 1.
template <int E, int kKeys, int kVectors>
DROVER_INLINE void add_keys(const Pair* panels, const Pair* weights, int keys, const float* shrink,
                            float* columns) {
  constexpr int kWide = kVectors * kVector;
  const int pairs = keys / 2;
  for (int block = 0; block < E / 8; ++block) {
    __m512 sum[8][kVectors];
    float* at = columns + block * 8 * kWide;
    DROVER_UNROLL for (int i = 0; i < 8; ++i) DROVER_UNROLL for (int v = 0; v < kVectors; ++v) {
      sum[i][v] = _mm512_load_ps(at + i * kWide + v * kVector);
      if (shrink) sum[i][v] = _mm512_mul_ps(sum[i][v], _mm512_load_ps(shrink + v * kVector));
    }
    const Pair* panel = panels + block * (kKeys / 2) * 8;
#pragma GCC unroll 2
    for (int j = 0; j < pairs; ++j) {
      __m512 weight[kVectors];
      DROVER_UNROLL for (int v = 0; v < kVectors; ++v) weight[v] =
          _mm512_load_ps(weights + j * kWide + v * kVector);
      DROVER_UNROLL for (int i = 0; i < 8; ++i) {
        const __m512 value = broadcast_pair(panel + j * 8 + i);
        DROVER_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = add_pairs(sum[i][v], weight[v], value);
      }
    }
    DROVER_UNROLL for (int i = 0; i < 8; ++i) DROVER_UNROLL for (int v = 0; v < kVectors; ++v)
        _mm512_store_ps(at + i * kWide + v * kVector, sum[i][v]);
  }
}

// The backward half of the table, from attention_backward_avx512bf16.cpp. E: padded head dim.
struct BackwardKernel {
  std::int64_t (*workspace)(std::int64_t head_dim);
  void (*run)(const AttentionTask& task, void* workspace);
};
template <int E>
BackwardKernel backward_kernel();

}  // namespace drover::cpu::bf16
