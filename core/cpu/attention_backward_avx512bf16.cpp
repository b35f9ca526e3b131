// Backward attention with products of bfloat16 (Dao 2023, algorithm 2), scores transposed: lanes in vectors,
// keys in rows. Blocks of kLanes lanes are packed once, then every tile of keys meets them: dQ of the block
// stays in the workspace, dK and dV of the tile gather over the block and are then added to the result.
#include "core/cpu/attention_bf16.h"

namespace drover::cpu::bf16 {
namespace {

constexpr int kKeys = 96;       // keys of a tile
constexpr int kTileGroups = 2;  // groups whose P and dS are held at once
constexpr int kTileLanes = kTileGroups * kGroup;
constexpr int kBlockKeys = 4;     // keys whose S and dP are held in registers
constexpr float kNoLane = 1e30f;  // log-sum-exp of a lane that is not there: all its P are 0

// The registers of a product over lanes: kRows keys x kVectors vectors of e.
template <int E>
struct KeyBlock {
  static constexpr int kVectors = E == 32 ? 2 : E == 96 ? 6 : 4, kRows = 24 / kVectors;
};
constexpr int kKeyUnit = 12;  // a multiple of kRows for every E, and of kBlockKeys

struct Tile {
  Pair *q, *dout;            // lane columns, [group][E / 2][lanes]
  Pair *q_rows, *dout_rows;  // pairs over lanes, [kLanes / 2][E]
  float *lse, *dot;          // [kLanes]; lse in units of log 2
  float* dq;                 // [group][E][lanes]
  Half *k, *v;               // [kKeys][E]
  Pair* k_panels;
  float *dk, *dv;  // [kKeys][E]
  Half *p, *ds;    // [kKeys][kTileLanes]
  Pair* ds_pairs;  // [kKeys / 2][lanes], one group, pairs over keys
  Pair* out;       // columns of 16 lanes, [E / 2][kVector]

  Tile(void* workspace, int width) {
    Workspace space(workspace);
    for (Pair** piece : {&q, &dout, &q_rows, &dout_rows}) space.take(*piece, kLanes * width / 2);
    space.take(lse, kLanes);
    space.take(dot, kLanes);
    space.take(dq, kLanes * width);
    space.take(k, kKeys * width);
    space.take(v, kKeys * width);
    space.take(k_panels, kKeys * width / 2);
    space.take(dk, kKeys * width);
    space.take(dv, kKeys * width);
    space.take(p, kKeys * kTileLanes);
    space.take(ds, kKeys * kTileLanes);
    space.take(ds_pairs, kKeys / 2 * kGroup);
    space.take(out, width / 2 * kVector);
  }
  static std::int64_t bytes(int width) {
    return kLanes * (width * 12 + 8) + kKeys * (width * 14 + kTileLanes * 4 + kGroup * 2) + width * 32 +
           16 * 64;
  }
};

// ---- packing the lanes of a block
template <int E>
void pack_row_pairs(const AttentionTask& task, const HeadRows& rows, const Group& group, Pair* out) {
  const __m256i zero = _mm256_setzero_si256();
  for (int i = 0; i < group.vectors() * kVector; i += 2) {
    const Half* low = i < group.count ? lane_row(task, rows, group.begin + i) : nullptr;
    const Half* high = i + 1 < group.count ? lane_row(task, rows, group.begin + i + 1) : nullptr;
    for (int e = 0; e < E; e += 16)
      _mm512_store_si512(out + i / 2 * E + e, pair_rows(low ? load16(low, task.head_dim, e) : zero,
                                                        high ? load16(high, task.head_dim, e) : zero));
  }
}

// dot[lane] = sum over e of out * dout, from columns.
template <int E>
void pack_dot(const AttentionTask& task, const Tile& tile, const Group& group, const Pair* dout, float* dot) {
  const int lanes = group.vectors() * kVector;
  for (int v = 0; v < lanes; v += kVector) {
    pack_columns<E>(task, task.out, group.begin + v, smaller(kVector, group.count - v), tile.out, kVector);
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (int e = 0; e < E / 2; ++e)
      sum[e % 2] =
          add_pairs(sum[e % 2], _mm512_load_ps(tile.out + e * kVector), _mm512_load_ps(dout + e * lanes + v));
    _mm512_store_ps(dot + v, _mm512_add_ps(sum[0], sum[1]));
  }
}

inline void pack_lse(const AttentionTask& task, const Group& group, float* out) {
  const auto* lse = static_cast<const float*>(task.lse.data);
  for (int i = 0; i < group.vectors() * kVector; ++i) {
    const std::int64_t lane = group.begin + i;
    const std::int64_t at =
        lane / task.group * task.lse.row_stride + lane % task.group * task.lse.head_stride;
    out[i] = i < group.count ? lse[at] * kLog2E : kNoLane;
  }
}

template <int E>
void begin_group(const AttentionTask& task, const Tile& tile, const Group& lanes, int group) {
  const int first = group * kGroup;
  Pair* dout = tile.dout + first * E / 2;
  pack_group<E>(task, task.q, lanes, tile.q + first * E / 2);
  pack_group<E>(task, task.dout, lanes, dout);
  pack_row_pairs<E>(task, task.q, lanes, tile.q_rows + first / 2 * E);
  pack_row_pairs<E>(task, task.dout, lanes, tile.dout_rows + first / 2 * E);
  pack_dot<E>(task, tile, lanes, dout, tile.dot + first);
  pack_lse(task, lanes, tile.lse + first);
  for (int i = 0; i < kGroup * E; i += kVector) _mm512_store_ps(tile.dq + first * E + i, _mm512_setzero_ps());
}

// ---- P and dS of one group and kBlockKeys keys

// The group as the kernels see it: its packed lanes and where its columns of p and ds begin.
struct GroupTile {
  const Pair *q, *dout;
  const float *lse, *dot;
  float* dq;
  Half *p, *ds;
};

template <int kVectors>
using Block = __m512[kBlockKeys][kVectors];

template <int E, int kVectors>
DROVER_INLINE void add_scores(const Half* keys, const Pair* lanes, int e, Block<kVectors>& sum) {
  __m512 lane[kVectors];
  DROVER_UNROLL for (int v = 0; v < kVectors; ++v) lane[v] =
      _mm512_load_ps(lanes + (e * kVectors + v) * kVector);
  DROVER_UNROLL for (int i = 0; i < kBlockKeys; ++i) {
    const __m512 key = broadcast_pair(keys + i * E + 2 * e);
    DROVER_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = add_pairs(sum[i][v], lane[v], key);
  }
}

DROVER_INLINE void store_rows(__m512i halves, Half* first, Half* second) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(first), _mm512_castsi512_si256(halves));
  _mm256_store_si256(reinterpret_cast<__m256i*>(second), _mm512_extracti64x4_epi64(halves, 1));
}

// s: scores -> p; dp -> ds = p (dp - dot). Both rounded and stored by rows, ds also as pairs over keys.
template <int kVectors>
DROVER_INLINE void differentiate(const GroupTile& group, const Edge& edge, int key, float unit,
                                 Block<kVectors>& s, Block<kVectors>& dp, Pair* ds_pairs) {
  const bool crosses = edge.first_lane(key + kBlockKeys - 1) > 0;
  DROVER_UNROLL for (int v = 0; v < kVectors; ++v) {
    const __m512 lse = _mm512_load_ps(group.lse + v * kVector), dot = _mm512_load_ps(group.dot + v * kVector);
    __m512 p[kBlockKeys], ds[kBlockKeys];
    DROVER_UNROLL for (int i = 0; i < kBlockKeys; ++i) p[i] =
        _mm512_fmsub_ps(s[i][v], _mm512_set1_ps(unit), lse);
    exp2_all(p);
    if (crosses)
      DROVER_UNROLL for (int i = 0; i < kBlockKeys; ++i) p[i] =
          _mm512_maskz_mov_ps(edge.seen(key + i, v), p[i]);
    DROVER_UNROLL for (int i = 0; i < kBlockKeys; ++i) ds[i] =
        _mm512_mul_ps(p[i], _mm512_sub_ps(dp[i][v], dot));
    DROVER_UNROLL for (int i = 0; i < kBlockKeys; i += 2) {
      const int at = (key + i) * kTileLanes + v * kVector;
      const __m512i halves = round_both(ds[i], ds[i + 1]);
      store_rows(round_both(p[i], p[i + 1]), group.p + at, group.p + at + kTileLanes);
      store_rows(halves, group.ds + at, group.ds + at + kTileLanes);
      _mm512_store_si512(ds_pairs + ((key + i) / 2 * kVectors + v) * kVector, interleave(halves));
    }
  }
}

template <int E, int kVectors>
[[gnu::noinline]] void attend(const Tile& tile, const GroupTile& group, const Edge& edge, int keys,
                              float unit) {
  for (int j = 0; j < keys; j += kBlockKeys) {
    Block<kVectors> s, dp;
    DROVER_UNROLL for (int i = 0; i < kBlockKeys; ++i) DROVER_UNROLL for (int v = 0; v < kVectors; ++v)
        s[i][v] = dp[i][v] = _mm512_setzero_ps();
#pragma GCC unroll 1
    for (int e = 0; e < E / 2; ++e) {
      add_scores<E, kVectors>(tile.k + j * E, group.q, e, s);
      add_scores<E, kVectors>(tile.v + j * E, group.dout, e, dp);
    }
    differentiate<kVectors>(group, edge, j, unit, s, dp, tile.ds_pairs);
  }
  add_keys<E, kKeys, kVectors>(tile.k_panels, tile.ds_pairs, keys, nullptr, group.dq);
}

// Keys of the tile that no lane of the group sees, up to the rows the products over lanes read.
inline void clear_rows(const GroupTile& group, int vectors, int begin, int end) {
  for (int j = begin; j < end; ++j) {
    for (int v = 0; v < vectors; ++v) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(group.p + j * kTileLanes + v * kVector),
                         _mm256_setzero_si256());
      _mm256_store_si256(reinterpret_cast<__m256i*>(group.ds + j * kTileLanes + v * kVector),
                         _mm256_setzero_si256());
    }
  }
}

template <int E>
void attend_group(const AttentionTask& task, const Tile& tile, const Group& lanes, int group, int key_begin,
                  int key_rows) {
  const int first = group * kGroup, column = group % kTileGroups * kGroup,
            seen = keys_seen(task, lanes.begin + lanes.count - 1);
  const int keys = seen <= key_begin ? 0 : smaller(key_rows, round_up(seen - key_begin, kBlockKeys));
  const Edge edge(task, lanes.begin, key_begin);
  const GroupTile part{tile.q + first * E / 2, tile.dout + first * E / 2, tile.lse + first, tile.dot + first,
                       tile.dq + first * E,    tile.p + column,           tile.ds + column};
  const float unit = static_cast<float>(task.scale) * kLog2E;
  clear_rows(part, lanes.vectors(), keys, key_rows);
  switch (lanes.vectors()) {
    case 1:
      return attend<E, 1>(tile, part, edge, keys, unit);
    case 2:
      return attend<E, 2>(tile, part, edge, keys, unit);
    default:
      return attend<E, 3>(tile, part, edge, keys, unit);
  }
}

// ---- products over lanes: sums[key][E] += sum over lanes of weights(key, lane) rows(lane, e)
template <int E>
[[gnu::noinline]] void add_lanes(const Half* weights, const Pair* rows, int keys, int lanes, const Edge& edge,
                                 float* sums) {
  constexpr int kVectors = KeyBlock<E>::kVectors, kRows = KeyBlock<E>::kRows;
  const int pairs = lanes / 2;
  for (int e = 0; e < E; e += kVectors * kVector) {
    for (int j = 0; j < keys; j += kRows) {
      __m512 sum[kRows][kVectors];
      float* at = sums + j * E + e;
      DROVER_UNROLL for (int i = 0; i < kRows; ++i) DROVER_UNROLL for (int v = 0; v < kVectors; ++v)
          sum[i][v] = _mm512_load_ps(at + i * E + v * kVector);
      const int hidden = edge.first_lane(j),
                first = hidden > 0 ? hidden / 2 : 0;  // the rest sees none of these keys
#pragma GCC unroll 2
      for (int pair = first; pair < pairs; ++pair) {
        __m512 row[kVectors];
        DROVER_UNROLL for (int v = 0; v < kVectors; ++v) row[v] =
            _mm512_load_ps(rows + pair * E + e + v * kVector);
        DROVER_UNROLL for (int i = 0; i < kRows; ++i) {
          const __m512 weight = broadcast_pair(weights + (j + i) * kTileLanes + 2 * pair);
          DROVER_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = add_pairs(sum[i][v], row[v], weight);
        }
      }
      DROVER_UNROLL for (int i = 0; i < kRows; ++i) DROVER_UNROLL for (int v = 0; v < kVectors; ++v)
          _mm512_store_ps(at + i * E + v * kVector, sum[i][v]);
    }
  }
}

// ---- one tile of keys against one block of lanes
template <int E>
void begin_keys(const AttentionTask& task, const Tile& tile, int key, int count, int rows) {
  pack_key_rows<E>(task, task.k, key, count, rows, tile.k);
  pack_key_rows<E>(task, task.v, key, count, rows, tile.v);
  pack_key_panels<E, kKeys>(task, task.k, key, count, rows, tile.k_panels);
  for (int i = 0; i < rows * E; i += kVector) {
    _mm512_store_ps(tile.dk + i, _mm512_setzero_ps());
    _mm512_store_ps(tile.dv + i, _mm512_setzero_ps());
  }
}

inline void add_rows(const HeadRows& rows, std::int64_t head_dim, int key, int count, float factor,
                     const float* in, int width) {
  for (int j = 0; j < count; ++j) {
    float* out = static_cast<float*>(rows.data) + (key + j) * rows.row_stride;
    for (int e = 0; e < head_dim; e += kVector) {
      const __mmask16 columns = static_cast<__mmask16>(columns_of(head_dim, e));
      const __m512 before = _mm512_maskz_loadu_ps(columns, out + e);
      _mm512_mask_storeu_ps(
          out + e, columns,
          _mm512_fmadd_ps(_mm512_load_ps(in + j * width + e), _mm512_set1_ps(factor), before));
    }
  }
}

template <int E>
void attend_keys(const AttentionTask& task, const Tile& tile, const Group* lanes, int groups, int key,
                 int count) {
  const int rows = round_up(count, kKeyUnit);
  begin_keys<E>(task, tile, key, count, rows);
  for (int g = 0; g < groups; g += kTileGroups) {
    const int last = smaller(g + kTileGroups, groups) - 1;
    if (keys_seen(task, lanes[last].begin + lanes[last].count - 1) <= key) continue;
    for (int i = g; i <= last; ++i) attend_group<E>(task, tile, lanes[i], i, key, rows);
    const int width = (last - g) * kGroup + lanes[last].vectors() * kVector;
    const Edge edge(task, lanes[g].begin, key);
    add_lanes<E>(tile.p, tile.dout_rows + g * kGroup / 2 * E, rows, width, edge, tile.dv);
    add_lanes<E>(tile.ds, tile.q_rows + g * kGroup / 2 * E, rows, width, edge, tile.dk);
  }
  add_rows(task.dk, task.head_dim, key, count, static_cast<float>(task.scale), tile.dk, E);
  add_rows(task.dv, task.head_dim, key, count, 1.f, tile.dv, E);
}

template <int E>
void backward(const AttentionTask& task, void* workspace) {
  const Tile tile(workspace, E);
  alignas(64) float scale[kGroup];
  for (float& factor : scale) factor = static_cast<float>(task.scale);
  for (std::int64_t begin = task.lane_begin; begin < task.lane_end; begin += kLanes) {
    const std::int64_t end = begin + kLanes < task.lane_end ? begin + kLanes : task.lane_end;
    const int groups = round_up(static_cast<int>(end - begin), kGroup) / kGroup,
              keys = keys_seen(task, end - 1);
    Group lanes[kGroups];
    for (int g = 0; g < groups; ++g) begin_group<E>(task, tile, lanes[g] = group_of(begin, end, g), g);
    for (int key = 0; key < keys; key += kKeys)
      attend_keys<E>(task, tile, lanes, groups, key, smaller(kKeys, keys - key));
    for (int g = 0; g < groups; ++g) store_group<E>(task, task.dq, lanes[g], tile.dq + g * kGroup * E, scale);
  }
}

}  // namespace

template <int E>
BackwardKernel backward_kernel() {
  return {[](std::int64_t) { return Tile::bytes(E); }, backward<E>};
}
template BackwardKernel backward_kernel<32>();
template BackwardKernel backward_kernel<64>();
template BackwardKernel backward_kernel<96>();
template BackwardKernel backward_kernel<128>();

}  // namespace drover::cpu::bf16
