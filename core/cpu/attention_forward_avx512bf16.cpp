// Forward attention with products of bfloat16 (Dao 2023, algorithm 1), scores transposed: lanes in vectors,
// keys in rows.
#include "core/cpu/attention_bf16.h"

namespace drover::cpu {
namespace bf16 {
namespace {

constexpr int kKeys = 128;     // keys of a tile
constexpr int kBlockKeys = 8;  // keys whose scores are held in registers
constexpr float kHidden =
    -1e30f;  // a hidden score: finite, so that differences stay finite, and exp2 of it is 0

struct Tile {
  Pair* q;               // [group][E / 2][lanes]
  float* out;            // [group][E][lanes]
  float *maximum, *sum;  // [group][kGroup], of scores in units of log 2
  Half* k;               // [kKeys][E]
  Pair* v;               // panels
  float* scores;         // [kKeys][lanes]
  Pair* weights;         // [kKeys / 2][lanes]

  Tile(void* workspace, int width) {
    Workspace space(workspace);
    space.take(q, kLanes * width / 2);
    space.take(out, kLanes * width);
    space.take(maximum, kLanes);
    space.take(sum, kLanes);
    space.take(k, kKeys * width);
    space.take(v, kKeys * width / 2);
    space.take(scores, kKeys * kGroup);
    space.take(weights, kKeys / 2 * kGroup);
  }
  static std::int64_t bytes(int width) {
    return kLanes * width * 6 + kLanes * 8 + kKeys * width * 4 + kKeys * kGroup * 6 + 8 * 64;
  }
};

// One group of a tile, as its kernels see it.
struct GroupTile {
  const Pair* q;
  float *out, *maximum, *sum;
};

template <int E, int kVectors>
DROVER_INLINE void score_block(const Half* keys, const Pair* q, __m512 (&score)[kBlockKeys][kVectors]) {
  DROVER_UNROLL for (int i = 0; i < kBlockKeys; ++i) DROVER_UNROLL for (int v = 0; v < kVectors; ++v)
      score[i][v] = _mm512_setzero_ps();
#pragma GCC unroll 2
  for (int e = 0; e < E / 2; ++e) {
    __m512 lane[kVectors];
    DROVER_UNROLL for (int v = 0; v < kVectors; ++v) lane[v] =
        _mm512_load_ps(q + (e * kVectors + v) * kVector);
    DROVER_UNROLL for (int i = 0; i < kBlockKeys; ++i) {
      const __m512 key = broadcast_pair(keys + i * E + 2 * e);
      DROVER_UNROLL for (int v = 0; v < kVectors; ++v) score[i][v] = add_pairs(score[i][v], lane[v], key);
    }
  }
}

template <int kVectors>
DROVER_INLINE void hide(const Edge& edge, int key, __m512 (&score)[kBlockKeys][kVectors]) {
  DROVER_UNROLL for (int i = 0; i < kBlockKeys; ++i) DROVER_UNROLL for (int v = 0; v < kVectors; ++v)
      score[i][v] = _mm512_mask_blend_ps(edge.seen(key + i, v), _mm512_set1_ps(kHidden), score[i][v]);
}

template <int kVectors>
DROVER_INLINE void store_block(const __m512 (&score)[kBlockKeys][kVectors], float* scores,
                               __m512 (&maximum)[kVectors]) {
  DROVER_UNROLL for (int v = 0; v < kVectors; ++v) {
    __m512 most[kBlockKeys];
    DROVER_UNROLL for (int i = 0; i < kBlockKeys; ++i) {
      _mm512_store_ps(scores + (i * kVectors + v) * kVector, score[i][v]);
      most[i] = score[i][v];
    }
    DROVER_UNROLL for (int half = kBlockKeys / 2; half > 0; half /= 2)
        DROVER_UNROLL for (int i = 0; i < half; ++i) most[i] = _mm512_max_ps(most[i], most[i + half]);
    maximum[v] = _mm512_max_ps(maximum[v], most[0]);
  }
}

// weights = exp2(unit * scores - maximum), rounded to pairs over keys; adds them to sum before rounding.
template <int kVectors>
DROVER_INLINE void weigh(const float* scores, int keys, float unit, const __m512 (&maximum)[kVectors],
                         __m512 (&sum)[kVectors], Pair* weights) {
  constexpr int kWide = kVectors * kVector;
  for (int j = 0; j < keys; j += 2) {
    __m512 x[2 * kVectors];
    DROVER_UNROLL for (int i = 0; i < 2 * kVectors; ++i) x[i] = _mm512_fmsub_ps(
        _mm512_load_ps(scores + j * kWide + i * kVector), _mm512_set1_ps(unit), maximum[i % kVectors]);
    exp2_all(x);
    DROVER_UNROLL for (int v = 0; v < kVectors; ++v) {
      sum[v] = _mm512_add_ps(sum[v], _mm512_add_ps(x[v], x[v + kVectors]));
      _mm512_store_si512(weights + j / 2 * kWide + v * kVector, round_to_pairs(x[v], x[v + kVectors]));
    }
  }
}

template <int E, int kVectors>
[[gnu::noinline]] void attend(const Tile& tile, const GroupTile& group, const Edge& edge, int count,
                              float unit) {
  const int keys = round_up(count, kBlockKeys);
  __m512 maximum[kVectors], sum[kVectors];
  DROVER_UNROLL for (int v = 0; v < kVectors; ++v) maximum[v] = _mm512_set1_ps(kHidden);
  for (int j = 0; j < keys; j += kBlockKeys) {
    __m512 score[kBlockKeys][kVectors];
    score_block<E, kVectors>(tile.k + j * E, group.q, score);
    if (edge.first_lane(j + kBlockKeys - 1) > 0) hide<kVectors>(edge, j, score);
    store_block<kVectors>(score, tile.scores + j * kVectors * kVector, maximum);
  }
  alignas(64) float shrink[kVectors * kVector];
  DROVER_UNROLL for (int v = 0; v < kVectors; ++v) {
    const __m512 before = _mm512_load_ps(group.maximum + v * kVector);
    maximum[v] = _mm512_max_ps(before, _mm512_mul_ps(maximum[v], _mm512_set1_ps(unit)));
    __m512 factor[1] = {_mm512_sub_ps(before, maximum[v])};
    exp2_all(factor);
    _mm512_store_ps(shrink + v * kVector, factor[0]);
    _mm512_store_ps(group.maximum + v * kVector, maximum[v]);
    sum[v] = _mm512_mul_ps(_mm512_load_ps(group.sum + v * kVector), factor[0]);
  }
  weigh<kVectors>(tile.scores, keys, unit, maximum, sum, tile.weights);
  DROVER_UNROLL for (int v = 0; v < kVectors; ++v) _mm512_store_ps(group.sum + v * kVector, sum[v]);
  add_keys<E, kKeys, kVectors>(tile.v, tile.weights, keys, shrink, group.out);
}

template <int E>
GroupTile group_tile(const Tile& tile, int group) {
  return {tile.q + group * kGroup * E / 2, tile.out + group * kGroup * E, tile.maximum + group * kGroup,
          tile.sum + group * kGroup};
}

template <int E>
void begin_group(const AttentionTask& task, const Tile& tile, const Group& lanes, int group) {
  const GroupTile part = group_tile<E>(tile, group);
  pack_group<E>(task, task.q, lanes, tile.q + group * kGroup * E / 2);
  for (int i = 0; i < kGroup * E; i += kVector) _mm512_store_ps(part.out + i, _mm512_setzero_ps());
  for (int i = 0; i < kGroup; i += kVector) {
    _mm512_store_ps(part.maximum + i,
                    _mm512_set1_ps(kHidden));  // gone after the first tile: every lane sees key 0
    _mm512_store_ps(part.sum + i, _mm512_setzero_ps());
  }
}

template <int E>
void attend_group(const AttentionTask& task, const Tile& tile, const Group& lanes, int group, int key_begin) {
  const int seen = keys_seen(task, lanes.begin + lanes.count - 1) - key_begin;
  if (seen <= 0) return;
  const int count = smaller(kKeys, seen);
  const Edge edge(task, lanes.begin, key_begin);
  const float unit = static_cast<float>(task.scale) * kLog2E;
  const GroupTile part = group_tile<E>(tile, group);
  switch (lanes.vectors()) {
    case 1:
      return attend<E, 1>(tile, part, edge, count, unit);
    case 2:
      return attend<E, 2>(tile, part, edge, count, unit);
    default:
      return attend<E, 3>(tile, part, edge, count, unit);
  }
}

template <int E>
void finish_group(const AttentionTask& task, const Tile& tile, const Group& lanes, int group) {
  const GroupTile part = group_tile<E>(tile, group);
  alignas(64) float inverse[kGroup], lse[kGroup];
  for (int i = 0; i < kGroup; i += kVector) {
    const __m512 sum = _mm512_load_ps(part.sum + i);
    _mm512_store_ps(inverse + i, _mm512_div_ps(_mm512_set1_ps(1.f), sum));
    _mm512_store_ps(lse + i, _mm512_mul_ps(_mm512_add_ps(_mm512_load_ps(part.maximum + i), log2(sum)),
                                           _mm512_set1_ps(kLn2)));
  }
  store_group<E>(task, task.out, lanes, part.out, inverse);
  auto* out = static_cast<float*>(task.lse.data);
  for (int i = 0; i < lanes.count; ++i) {
    const std::int64_t lane = lanes.begin + i;
    out[lane / task.group * task.lse.row_stride + lane % task.group * task.lse.head_stride] = lse[i];
  }
}

template <int E>
void forward(const AttentionTask& task, void* workspace) {
  const Tile tile(workspace, E);
  const int groups = round_up(static_cast<int>(task.lane_end - task.lane_begin), kGroup) / kGroup;
  Group lanes[kGroups];
  for (int g = 0; g < groups; ++g)
    begin_group<E>(task, tile, lanes[g] = group_of(task.lane_begin, task.lane_end, g), g);
  const int keys = keys_seen(task, task.lane_end - 1);
  for (int key = 0; key < keys; key += kKeys) {
    const int count = smaller(kKeys, keys - key), padded = round_up(count, kBlockKeys);
    pack_key_rows<E>(task, task.k, key, count, padded, tile.k);
    pack_key_panels<E, kKeys>(task, task.v, key, count, padded, tile.v);
    for (int g = 0; g < groups; ++g) attend_group<E>(task, tile, lanes[g], g, key);
  }
  for (int g = 0; g < groups; ++g) finish_group<E>(task, tile, lanes[g], g);
}

template <int E>
AttentionKernels kernels() {
  const BackwardKernel backward = backward_kernel<E>();
  return {kLanes, [](std::int64_t) { return Tile::bytes(E); }, backward.workspace, forward<E>, backward.run};
}

}  // namespace
}  // namespace bf16

AttentionKernels attention_kernels_avx512bf16(std::int64_t head_dim) {
  if (head_dim <= 32) return bf16::kernels<32>();
  if (head_dim <= 64) return bf16::kernels<64>();
  if (head_dim <= 96) return bf16::kernels<96>();
  return bf16::kernels<128>();
}

}  // namespace drover::cpu
