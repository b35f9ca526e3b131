// Attention in tiles of kTile lanes by kTile keys, written once for every element type and vector width. Only
// for the files that name an instruction set: `Simd` is a policy declared in such a file's unnamed namespace,
// so that every instantiation stays inside it. A policy has Scalar, Vector (may alias), kWidth, kVectors
// (columns of a product held in registers), broadcast, multiply_add and exponential.
//
// Scores are held transposed, keys as rows and lanes as columns: maximum, sum and rescaling work on whole
// vectors and nothing is ever reduced across one. Five of the six products then have the form out[r, c] +=
// a(r, d) * b[d, c] with a broadcast from memory, and so has the sixth (dK, dV) over lanes.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/cpu/attention_kernels.h"

namespace drover::cpu::tile {

inline constexpr std::int64_t kTile = 64;  // lanes and keys of a tile
inline constexpr std::int64_t kBlockRows =
    4;  // rows of a product held in registers; row counts are multiples

constexpr std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }
// Head dims are padded with zeros to whole vectors of every path.
constexpr std::int64_t padded(std::int64_t head_dim) { return round_up(head_dim, 16); }

template <class Simd>
using Scalar = typename Simd::Scalar;
template <class Simd>
using Vector = typename Simd::Vector;

template <class Simd>
inline Vector<Simd>& vector_at(Scalar<Simd>* p) {
  return *reinterpret_cast<Vector<Simd>*>(p);
}
template <class Simd>
inline const Vector<Simd>& vector_at(const Scalar<Simd>* p) {
  return *reinterpret_cast<const Vector<Simd>*>(p);
}

// Element (r, d) at data[r * row_stride + d * depth_stride].
template <class Simd>
struct Left {
  const Scalar<Simd>* data;
  std::int64_t row_stride, depth_stride;
};

template <class Simd, int kVectors>
inline void product_block(const Left<Simd>& a, const Scalar<Simd>* b, std::int64_t stride, std::int64_t depth,
                          Scalar<Simd>* out, std::int64_t out_stride) {
  Vector<Simd> sum[kBlockRows][kVectors];
  for (int r = 0; r < kBlockRows; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = vector_at<Simd>(out + r * out_stride + v * Simd::kWidth);
  for (std::int64_t d = 0; d < depth; ++d) {
    for (int r = 0; r < kBlockRows; ++r) {
      const Vector<Simd> left = Simd::broadcast(a.data[r * a.row_stride + d * a.depth_stride]);
      for (int v = 0; v < kVectors; ++v)
        sum[r][v] = Simd::multiply_add(left, vector_at<Simd>(b + d * stride + v * Simd::kWidth), sum[r][v]);
    }
  }
  for (int r = 0; r < kBlockRows; ++r)
    for (int v = 0; v < kVectors; ++v) vector_at<Simd>(out + r * out_stride + v * Simd::kWidth) = sum[r][v];
}

// out[rows, columns] += a[rows, depth] b[depth, columns]; rows a multiple of kBlockRows, columns of the
// vector width.
template <class Simd>
void add_product(Left<Simd> a, const Scalar<Simd>* b, std::int64_t stride, std::int64_t depth,
                 Scalar<Simd>* out, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kWide = Simd::kWidth * Simd::kVectors;
  for (std::int64_t r = 0; r < rows; r += kBlockRows) {
    const Left<Simd> left{a.data + r * a.row_stride, a.row_stride, a.depth_stride};
    Scalar<Simd>* row = out + r * stride;
    std::int64_t c = 0;
    for (; c + kWide <= columns; c += kWide)
      product_block<Simd, Simd::kVectors>(left, b + c, stride, depth, row + c, stride);
    for (; c < columns; c += Simd::kWidth)
      product_block<Simd, 1>(left, b + c, stride, depth, row + c, stride);
  }
}

// ---- memory of one thread
template <class Simd>
class Workspace {
 public:
  explicit Workspace(void* data) : next_(static_cast<Scalar<Simd>*>(data)) {}
  Scalar<Simd>* take(std::int64_t count) {
    Scalar<Simd>* piece = next_;
    next_ += count;  // counts are multiples of kTile, so pieces stay aligned to whole vectors
    return piece;
  }

 private:
  Scalar<Simd>* next_;
};

template <class Simd>
void fill(Scalar<Simd>* out, std::int64_t count, Scalar<Simd> value) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = value;
}

// ---- rows of the operands, converted, padded with zeros to `padded` columns and kTile rows
template <class Simd, class T>
void load_row(const T* in, std::int64_t head_dim, Scalar<Simd> factor, Scalar<Simd>* out) {
  for (std::int64_t e = 0; e < head_dim; ++e) out[e] = static_cast<Scalar<Simd>>(in[e]) * factor;
  fill<Simd>(out + head_dim, padded(head_dim) - head_dim, 0);
}

template <class Simd, class T>
void load_keys(const HeadRows& rows, std::int64_t begin, std::int64_t count, std::int64_t head_dim,
               Scalar<Simd>* out) {
  const std::int64_t width = padded(head_dim);
  const T* in = static_cast<const T*>(rows.data) + begin * rows.row_stride;
  for (std::int64_t j = 0; j < count; ++j)
    load_row<Simd>(in + j * rows.row_stride, head_dim, Scalar<Simd>(1), out + j * width);
  fill<Simd>(out + count * width, (round_up(count, kBlockRows) - count) * width, 0);
}

// Where lane `lane` of the task lives in `rows`.
inline std::int64_t lane_offset(const HeadRows& rows, std::int64_t group, std::int64_t lane) {
  return lane / group * rows.row_stride + lane % group * rows.head_stride;
}

template <class Simd, class T>
void load_lanes(const AttentionTask& task, const HeadRows& rows, std::int64_t begin, std::int64_t count,
                double factor, Scalar<Simd>* out) {
  const std::int64_t width = padded(task.head_dim);
  for (std::int64_t i = 0; i < count; ++i) {
    const T* in = static_cast<const T*>(rows.data) + lane_offset(rows, task.group, begin + i);
    load_row<Simd>(in, task.head_dim, Scalar<Simd>(factor), out + i * width);
  }
  fill<Simd>(out + count * width, (kTile - count) * width, 0);
}

// out[e, lane] = in[lane, e]
template <class Simd>
void transpose(const Scalar<Simd>* in, std::int64_t width, Scalar<Simd>* out) {
  for (std::int64_t e = 0; e < width; ++e)
    for (std::int64_t lane = 0; lane < kTile; ++lane) out[e * kTile + lane] = in[lane * width + e];
}

// Rows of the result from columns of `in` [e, lane], each multiplied by factor[lane].
template <class Simd, class T>
void store_lanes(const AttentionTask& task, const HeadRows& rows, std::int64_t begin, std::int64_t count,
                 const Scalar<Simd>* in, const Scalar<Simd>* factor) {
  for (std::int64_t i = 0; i < count; ++i) {
    T* out = static_cast<T*>(rows.data) + lane_offset(rows, task.group, begin + i);
    for (std::int64_t e = 0; e < task.head_dim; ++e) out[e] = static_cast<T>(in[e * kTile + i] * factor[i]);
  }
}

// ---- what both directions share

// Lanes [begin, begin + count) of the task; `keys` is how many the last of them sees.
struct LaneRange {
  std::int64_t begin, count, columns, keys;
};

template <class Simd>
LaneRange lane_range(const AttentionTask& task, std::int64_t begin) {
  const std::int64_t left = task.lane_end - begin, count = left < kTile ? left : kTile;
  const std::int64_t last_row = (begin + count - 1) / task.group;
  return {begin, count, round_up(count, Simd::kWidth), task.kv_length - task.q_length + last_row + 1};
}

// Sets what may not be seen to `value`: keys after a lane's own row and the padding after the tile's `count`
// keys.
template <class Simd>
void mask(const AttentionTask& task, const LaneRange& lanes, std::int64_t key_begin, std::int64_t count,
          Scalar<Simd> value, Scalar<Simd>* scores) {
  const std::int64_t rows = round_up(count, kBlockRows);
  for (std::int64_t i = 0; i < lanes.columns; ++i) {
    const std::int64_t row = (lanes.begin + i) / task.group;
    const std::int64_t seen = task.kv_length - task.q_length + row + 1 - key_begin;
    for (std::int64_t j = seen < count ? (seen < 0 ? 0 : seen) : count; j < rows; ++j)
      scores[j * kTile + i] = value;
  }
}

template <class Simd>
bool crosses_edge(const AttentionTask& task, const LaneRange& lanes, std::int64_t key_begin,
                  std::int64_t count) {
  const std::int64_t first_sees = task.kv_length - task.q_length + lanes.begin / task.group + 1;
  return key_begin + count > first_sees || count % kBlockRows != 0;
}

// ---- forward
template <class Simd>
struct ForwardTile {
  Scalar<Simd>*q, *q_t, *k, *v, *scores, *out_t, *maximum, *sum;

  ForwardTile(void* workspace, std::int64_t width) {
    Workspace<Simd> space(workspace);
    q = space.take(kTile * width), q_t = space.take(kTile * width);
    k = space.take(kTile * width), v = space.take(kTile * width);
    scores = space.take(kTile * kTile), out_t = space.take(kTile * width);
    maximum = space.take(kTile), sum = space.take(kTile);
  }
  static std::int64_t bytes(std::int64_t width) {
    return (5 * kTile * width + kTile * kTile + 2 * kTile) * static_cast<std::int64_t>(sizeof(Scalar<Simd>));
  }
};

// scores = exp(scores - maximum) with the running maximum; sum and out_t follow it (Dao 2023, algorithm 1).
template <class Simd>
void softmax_step(const ForwardTile<Simd>& tile, const LaneRange& lanes, std::int64_t keys,
                  std::int64_t width) {
  for (std::int64_t c = 0; c < lanes.columns; c += Simd::kWidth) {
    const Vector<Simd> before = vector_at<Simd>(tile.maximum + c);
    Vector<Simd> maximum = before;
    for (std::int64_t j = 0; j < keys; ++j) {
      const Vector<Simd> score = vector_at<Simd>(tile.scores + j * kTile + c);
      maximum = score > maximum ? score : maximum;
    }
    const Vector<Simd> shrink = Simd::exponential(before - maximum);
    Vector<Simd> sum = vector_at<Simd>(tile.sum + c) * shrink;
    for (std::int64_t j = 0; j < keys; ++j) {
      Vector<Simd>& score = vector_at<Simd>(tile.scores + j * kTile + c);
      score = Simd::exponential(score - maximum);
      sum += score;
    }
    vector_at<Simd>(tile.maximum + c) = maximum;
    vector_at<Simd>(tile.sum + c) = sum;
    for (std::int64_t e = 0; e < width; ++e) vector_at<Simd>(tile.out_t + e * kTile + c) *= shrink;
  }
}

template <class Simd, class T>
void forward_keys(const AttentionTask& task, const ForwardTile<Simd>& tile, const LaneRange& lanes,
                  std::int64_t begin) {
  const std::int64_t width = padded(task.head_dim), left = lanes.keys - begin,
                     count = left < kTile ? left : kTile;
  const std::int64_t rows = round_up(count, kBlockRows);
  load_keys<Simd, T>(task.k, begin, count, task.head_dim, tile.k);
  load_keys<Simd, T>(task.v, begin, count, task.head_dim, tile.v);
  fill<Simd>(tile.scores, rows * kTile, 0);
  add_product<Simd>({tile.k, width, 1}, tile.q_t, kTile, width, tile.scores, rows, lanes.columns);
  if (crosses_edge<Simd>(task, lanes, begin, count))
    mask<Simd>(task, lanes, begin, count, -std::numeric_limits<Scalar<Simd>>::infinity(), tile.scores);
  softmax_step<Simd>(tile, lanes, rows, width);
  add_product<Simd>({tile.v, 1, width}, tile.scores, kTile, rows, tile.out_t, width, lanes.columns);
}

template <class Simd, class T>
void finish_forward(const AttentionTask& task, const ForwardTile<Simd>& tile, const LaneRange& lanes) {
  Scalar<Simd> inverse[kTile];
  for (std::int64_t i = 0; i < lanes.count; ++i) {
    inverse[i] = 1 / tile.sum[i];
    static_cast<Scalar<Simd>*>(task.lse.data)[lane_offset(task.lse, task.group, lanes.begin + i)] =
        tile.maximum[i] + std::log(tile.sum[i]);
  }
  store_lanes<Simd, T>(task, task.out, lanes.begin, lanes.count, tile.out_t, inverse);
}

template <class Simd, class T>
void forward(const AttentionTask& task, void* workspace) {
  const std::int64_t width = padded(task.head_dim);
  const ForwardTile<Simd> tile(workspace, width);
  for (std::int64_t begin = task.lane_begin; begin < task.lane_end; begin += kTile) {
    const LaneRange lanes = lane_range<Simd>(task, begin);
    load_lanes<Simd, T>(task, task.q, lanes.begin, lanes.count, task.scale, tile.q);
    transpose<Simd>(tile.q, width, tile.q_t);
    fill<Simd>(tile.out_t, kTile * width, 0);
    fill<Simd>(tile.maximum, kTile, -std::numeric_limits<Scalar<Simd>>::infinity());
    fill<Simd>(tile.sum, kTile, 0);
    for (std::int64_t key = 0; key < lanes.keys; key += kTile) forward_keys<Simd, T>(task, tile, lanes, key);
    finish_forward<Simd, T>(task, tile, lanes);
  }
}

// ---- backward
template <class Simd>
struct BackwardTile {
  Scalar<Simd>*q, *q_t, *dout, *dout_t, *dq_t;  // lanes; q is scaled
  Scalar<Simd>*k, *v, *dk, *dv;                 // keys
  Scalar<Simd>*p, *ds;                          // [key, lane]
  Scalar<Simd>*lse, *dot, *factor;              // [lane]

  BackwardTile(void* workspace, std::int64_t width) {
    Workspace<Simd> space(workspace);
    q = space.take(kTile * width), q_t = space.take(kTile * width), dq_t = space.take(kTile * width);
    dout = space.take(kTile * width), dout_t = space.take(kTile * width);
    k = space.take(kTile * width), v = space.take(kTile * width);
    dk = space.take(kTile * width), dv = space.take(kTile * width);
    p = space.take(kTile * kTile), ds = space.take(kTile * kTile);
    lse = space.take(kTile), dot = space.take(kTile), factor = space.take(kTile);
  }
  static std::int64_t bytes(std::int64_t width) {
    return (9 * kTile * width + 2 * kTile * kTile + 3 * kTile) *
           static_cast<std::int64_t>(sizeof(Scalar<Simd>));
  }
};

// dot[lane] = sum over e of out * dout: what the softmax's normalisation takes from dP (Dao 2023, algorithm
// 2, line 4).
template <class Simd, class T>
void load_statistics(const AttentionTask& task, const BackwardTile<Simd>& tile, const LaneRange& lanes) {
  const std::int64_t width = padded(task.head_dim);
  fill<Simd>(tile.lse, kTile, 0);
  fill<Simd>(tile.dot, kTile, 0);
  for (std::int64_t i = 0; i < lanes.count; ++i) {
    const std::int64_t lane = lanes.begin + i;
    const T* out = static_cast<const T*>(task.out.data) + lane_offset(task.out, task.group, lane);
    tile.lse[i] = static_cast<const Scalar<Simd>*>(task.lse.data)[lane_offset(task.lse, task.group, lane)];
    for (std::int64_t e = 0; e < task.head_dim; ++e)
      tile.dot[i] += static_cast<Scalar<Simd>>(out[e]) * tile.dout[i * width + e];
  }
}

// p: scores -> probabilities; ds: dP -> dS
template <class Simd>
void differentiate_softmax(const BackwardTile<Simd>& tile, const LaneRange& lanes, std::int64_t keys) {
  for (std::int64_t c = 0; c < lanes.columns; c += Simd::kWidth) {
    const Vector<Simd> lse = vector_at<Simd>(tile.lse + c), dot = vector_at<Simd>(tile.dot + c);
    for (std::int64_t j = 0; j < keys; ++j) {
      Vector<Simd>& p = vector_at<Simd>(tile.p + j * kTile + c);
      Vector<Simd>& ds = vector_at<Simd>(tile.ds + j * kTile + c);
      p = Simd::exponential(p - lse);
      ds = p * (ds - dot);
    }
  }
}

template <class Simd>
void add_keys(const HeadRows& rows, std::int64_t begin, std::int64_t count, std::int64_t head_dim,
              const Scalar<Simd>* in) {
  const std::int64_t width = padded(head_dim);
  for (std::int64_t j = 0; j < count; ++j) {
    Scalar<Simd>* out = static_cast<Scalar<Simd>*>(rows.data) + (begin + j) * rows.row_stride;
    for (std::int64_t e = 0; e < head_dim; ++e) out[e] += in[j * width + e];
  }
}

template <class Simd, class T>
void backward_keys(const AttentionTask& task, const BackwardTile<Simd>& tile, const LaneRange& lanes,
                   std::int64_t begin) {
  const std::int64_t width = padded(task.head_dim), left = lanes.keys - begin,
                     count = left < kTile ? left : kTile;
  const std::int64_t rows = round_up(count, kBlockRows);
  load_keys<Simd, T>(task.k, begin, count, task.head_dim, tile.k);
  load_keys<Simd, T>(task.v, begin, count, task.head_dim, tile.v);
  fill<Simd>(tile.p, rows * kTile, 0);
  fill<Simd>(tile.ds, rows * kTile, 0);
  add_product<Simd>({tile.k, width, 1}, tile.q_t, kTile, width, tile.p, rows, lanes.columns);
  add_product<Simd>({tile.v, width, 1}, tile.dout_t, kTile, width, tile.ds, rows, lanes.columns);
  if (crosses_edge<Simd>(task, lanes, begin, count))
    mask<Simd>(task, lanes, begin, count, -std::numeric_limits<Scalar<Simd>>::infinity(), tile.p);
  differentiate_softmax<Simd>(tile, lanes, rows);
  fill<Simd>(tile.dk, rows * width, 0);
  fill<Simd>(tile.dv, rows * width, 0);
  add_product<Simd>({tile.p, kTile, 1}, tile.dout, width, lanes.count, tile.dv, rows, width);
  add_product<Simd>({tile.ds, kTile, 1}, tile.q, width, lanes.count, tile.dk, rows, width);
  add_product<Simd>({tile.k, 1, width}, tile.ds, kTile, rows, tile.dq_t, width, lanes.columns);
  add_keys<Simd>(task.dk, begin, count, task.head_dim, tile.dk);
  add_keys<Simd>(task.dv, begin, count, task.head_dim, tile.dv);
}

template <class Simd, class T>
void backward(const AttentionTask& task, void* workspace) {
  const std::int64_t width = padded(task.head_dim);
  const BackwardTile<Simd> tile(workspace, width);
  fill<Simd>(tile.factor, kTile, Scalar<Simd>(task.scale));
  for (std::int64_t begin = task.lane_begin; begin < task.lane_end; begin += kTile) {
    const LaneRange lanes = lane_range<Simd>(task, begin);
    load_lanes<Simd, T>(task, task.q, lanes.begin, lanes.count, task.scale, tile.q);
    load_lanes<Simd, T>(task, task.dout, lanes.begin, lanes.count, 1, tile.dout);
    transpose<Simd>(tile.q, width, tile.q_t);
    transpose<Simd>(tile.dout, width, tile.dout_t);
    load_statistics<Simd, T>(task, tile, lanes);
    fill<Simd>(tile.dq_t, kTile * width, 0);
    for (std::int64_t key = 0; key < lanes.keys; key += kTile) backward_keys<Simd, T>(task, tile, lanes, key);
    store_lanes<Simd, T>(task, task.dq, lanes.begin, lanes.count, tile.dq_t, tile.factor);
  }
}

// ---- the exponential of float32 vectors, for x <= 0 and a little above

// exp(x) = 2^n exp(f), |f| <= ln(2) / 2, Taylor to degree 7: relative error 1e-7. Below -87 the result is 0.
template <class Simd, class IntVector>
inline Vector<Simd> exponential_float(Vector<Simd> x) {
  constexpr float kRound = 12582912.f;  // 1.5 * 2^23: adding it rounds to an integer
  constexpr float kInverseFactorial[] = {1.f,      1.f,       1.f / 2,   1.f / 6,
                                         1.f / 24, 1.f / 120, 1.f / 720, 1.f / 5040};
  const Vector<Simd> least = Simd::broadcast(-87.f), clamped = x > least ? x : least;
  const Vector<Simd> n = (clamped * 1.44269504f + kRound) - kRound;
  const Vector<Simd> high = Simd::multiply_add(n, Simd::broadcast(-0.693359375f), clamped);
  const Vector<Simd> f = Simd::multiply_add(n, Simd::broadcast(2.12194440e-4f), high);
  Vector<Simd> sum = Simd::broadcast(kInverseFactorial[7]);
  for (int k = 6; k >= 0; --k) sum = Simd::multiply_add(sum, f, Simd::broadcast(kInverseFactorial[k]));
  const IntVector power = __builtin_convertvector(n, IntVector) << 23;
  const Vector<Simd> result = (Vector<Simd>)((IntVector)sum + power);  // NOLINT: reinterprets the bits
  return x > least ? result : Vector<Simd>{};
}

// float64 proves other things: libm's exponential, element by element.
template <class Simd>
inline Vector<Simd> exponential_double(Vector<Simd> x) {
  for (int i = 0; i < Simd::kWidth; ++i) x[i] = std::exp(x[i]);
  return x;
}

template <class Float, class Double>
AttentionKernels kernels(DType dtype) {
  const auto forward_bytes = [](std::int64_t head_dim) {
    return ForwardTile<Float>::bytes(padded(head_dim));
  };
  const auto backward_bytes = [](std::int64_t head_dim) {
    return BackwardTile<Float>::bytes(padded(head_dim));
  };
  if (dtype == DType::float32)
    return {kTile, forward_bytes, backward_bytes, forward<Float, float>, backward<Float, float>};
  if (dtype == DType::bfloat16)
    return {kTile, forward_bytes, backward_bytes, forward<Float, bfloat16>, backward<Float, bfloat16>};
  return {kTile, [](std::int64_t head_dim) { return ForwardTile<Double>::bytes(padded(head_dim)); },
          [](std::int64_t head_dim) { return BackwardTile<Double>::bytes(padded(head_dim)); },
          forward<Double, double>, backward<Double, double>};
}

}  // namespace drover::cpu::tile
