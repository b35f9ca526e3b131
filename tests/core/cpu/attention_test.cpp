// Attention on the CPU against a plain float64 evaluation of its definition, for every dtype, path and odd
// shape.
#include "core/cpu/attention.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/tensor/memory.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

using Segments = std::vector<Segment>;

struct Shape {
  std::int64_t heads, kv_heads, head_dim;
  Segments segments;
  double logit_scale = 1;

  std::int64_t queries() const {
    std::int64_t n = 0;
    for (const Segment& s : segments) n = std::max<std::int64_t>(n, s.q_end);
    return n;
  }
  std::int64_t keys() const {
    std::int64_t n = 0;
    for (const Segment& s : segments) n = std::max<std::int64_t>(n, s.kv_end);
    return n;
  }
  double scale() const { return logit_scale / std::sqrt(static_cast<double>(head_dim)); }
};

// Documents of the given lengths, one after the other.
Segments documents(const std::vector<int>& lengths) {
  Segments out;
  std::int32_t at = 0;
  for (const int n : lengths) {
    out.push_back({at, at + n, at, at + n});
    at += n;
  }
  return out;
}

// The operands as a model has them: q, k and v are column pieces of one fused product, the log-sum-exp has a
// row stride.
template <class T>
struct Operands {
  using Master = std::conditional_t<std::is_same_v<T, double>, double, float>;

  explicit Operands(const Shape& s, unsigned seed = 1) : shape(s) {
    const std::int64_t nq = s.queries(), nk = s.keys(), wide = (s.heads + 2 * s.kv_heads) * s.head_dim + 8;
    fused.assign(static_cast<std::size_t>(std::max(nq, nk) * wide), T(0.f));
    out_data.assign(static_cast<std::size_t>(nq * s.heads * s.head_dim), T(0.f));
    dout_data = dq_data = out_data;
    lse_data.assign(static_cast<std::size_t>(s.heads * (nq + 5)), Master(-1));
    dk_data.assign(static_cast<std::size_t>(nk * s.kv_heads * s.head_dim),
                   std::numeric_limits<Master>::quiet_NaN());
    dv_data = dk_data;
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (T& x : fused) x = T(normal(random));
    for (T& x : dout_data) x = T(normal(random));
    const std::int64_t rows = std::max(nq, nk), e = s.head_dim;
    const Tensor all = Tensor::of(fused.data(), {rows, wide});
    const auto piece = [&](std::int64_t first, std::int64_t heads, std::int64_t n) {
      return all.slice(1, first * e, (first + heads) * e).slice(0, 0, n).view({n, heads, e});
    };
    q = piece(0, s.heads, nq);
    k = piece(s.heads, s.kv_heads, nk);
    v = piece(s.heads + s.kv_heads, s.kv_heads, nk);
    out = Tensor::of(out_data.data(), {nq, s.heads, e});
    dout = Tensor::of(dout_data.data(), {nq, s.heads, e});
    dq = Tensor::of(dq_data.data(), {nq, s.heads, e});
    lse = Tensor::of(lse_data.data(), {s.heads, nq + 5}).slice(1, 0, nq);
    dk = Tensor::of(dk_data.data(), {nk, s.kv_heads, e});
    dv = Tensor::of(dv_data.data(), {nk, s.kv_heads, e});
  }
  Operands(const Operands&) = delete;

  AttentionForward forward() const {
    return {
        .q = q, .k = k, .v = v, .segments = shape.segments, .scale = shape.scale(), .out = out, .lse = lse};
  }
  AttentionBackward backward() const {
    return {.q = q,
            .k = k,
            .v = v,
            .out = out,
            .lse = lse,
            .dout = dout,
            .segments = shape.segments,
            .scale = shape.scale(),
            .dq = dq,
            .dk = dk,
            .dv = dv};
  }

  Shape shape;
  std::vector<T> fused, out_data, dout_data, dq_data;
  std::vector<Master> lse_data, dk_data, dv_data;
  Tensor q, k, v, out, dout, dq, lse, dk, dv;
};

template <class T>
T& at(const Tensor& t, std::int64_t row, std::int64_t head, std::int64_t e) {
  return static_cast<T*>(t.data)[row * t.strides[0] + head * t.strides[1] + e];
}

template <class Args>
Args with_scratch(Args args, CpuPath path, int workers, const Buffer& scratch) {
  args.scratch = scratch.tensor(DType::uint8, {cpu::attention_scratch_bytes(path, args, workers)});
  return args;
}

void run(const AttentionForward& args, CpuPath path, int threads = 1) {
  HostMemory memory;
  ThreadPool pool(threads);
  const Buffer scratch(memory, cpu::attention_scratch_bytes(path, args, threads), MemoryCategory::scratch);
  cpu::attention_forward(pool, path, with_scratch(args, path, threads, scratch));
}

void run(const AttentionBackward& args, CpuPath path, int threads = 1) {
  HostMemory memory;
  ThreadPool pool(threads);
  const Buffer scratch(memory, cpu::attention_scratch_bytes(path, args, threads), MemoryCategory::scratch);
  cpu::attention_backward(pool, path, with_scratch(args, path, threads, scratch));
}

template <class T>
void run_both(const Operands<T>& x, CpuPath path, int threads = 1) {
  run(x.forward(), path, threads);
  run(x.backward(), path, threads);
}

// The definition, one pair at a time.
struct Reference {
  std::vector<double> out, lse, dq, dk, dv;
};

template <class T>
class Evaluation {
 public:
  explicit Evaluation(const Operands<T>& x) : x_(x), s_(x.shape) {
    const auto size = [&](std::int64_t rows, std::int64_t heads, std::int64_t e) {
      return std::vector<double>(static_cast<std::size_t>(rows * heads * e), 0.0);
    };
    result.out = result.dq = size(s_.queries(), s_.heads, s_.head_dim);
    result.lse = size(s_.queries(), s_.heads, 1);
    result.dk = result.dv = size(s_.keys(), s_.kv_heads, s_.head_dim);
    for (const Segment& segment : s_.segments)
      for (std::int64_t i = 0; i < segment.q_length(); ++i)
        for (std::int64_t head = 0; head < s_.heads; ++head) query(segment, i, head);
  }
  Reference result;

 private:
  double dot(const Tensor& a, std::int64_t row_a, std::int64_t head_a, const Tensor& b, std::int64_t row_b,
             std::int64_t head_b) const {
    double sum = 0;
    for (std::int64_t e = 0; e < s_.head_dim; ++e)
      sum +=
          static_cast<double>(at<T>(a, row_a, head_a, e)) * static_cast<double>(at<T>(b, row_b, head_b, e));
    return sum;
  }

  void query(const Segment& segment, std::int64_t i, std::int64_t head) {
    const std::int64_t row = segment.q_begin + i, kv_head = head / (s_.heads / s_.kv_heads);
    const std::int64_t visible = segment.kv_length() - segment.q_length() + i + 1;
    std::vector<double> p(static_cast<std::size_t>(visible)), dp(p);
    double maximum = -1e300, sum = 0, mean = 0;
    for (std::int64_t j = 0; j < visible; ++j) {
      p[j] = s_.scale() * dot(x_.q, row, head, x_.k, segment.kv_begin + j, kv_head);
      dp[j] = dot(x_.dout, row, head, x_.v, segment.kv_begin + j, kv_head);
      maximum = std::max(maximum, p[j]);
    }
    for (double& x : p) sum += x = std::exp(x - maximum);
    for (std::int64_t j = 0; j < visible; ++j) mean += (p[j] /= sum) * dp[j];
    result.lse[head * s_.queries() + row] = maximum + std::log(sum);
    const std::int64_t e_count = s_.head_dim;
    for (std::int64_t j = 0; j < visible; ++j) {
      const std::int64_t key = segment.kv_begin + j;
      const double ds = p[j] * (dp[j] - mean) * s_.scale();
      for (std::int64_t e = 0; e < e_count; ++e) {
        const std::int64_t of_query = (row * s_.heads + head) * e_count + e,
                           of_key = (key * s_.kv_heads + kv_head) * e_count + e;
        result.out[of_query] += p[j] * static_cast<double>(at<T>(x_.v, key, kv_head, e));
        result.dq[of_query] += ds * static_cast<double>(at<T>(x_.k, key, kv_head, e));
        result.dk[of_key] += ds * static_cast<double>(at<T>(x_.q, row, head, e));
        result.dv[of_key] += p[j] * static_cast<double>(at<T>(x_.dout, row, head, e));
      }
    }
  }

  const Operands<T>& x_;
  const Shape& s_;
};

// The larger of ||a - b|| / ||b|| and max|a - b| / max|b|.
template <class T>
double distance(const std::vector<T>& a, const std::vector<double>& b) {
  double difference = 0, norm = 0, largest_difference = 0, largest = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    const double d = static_cast<double>(a[i]) - b[i];
    if (!std::isfinite(d)) return std::numeric_limits<double>::infinity();
    difference += d * d, norm += b[i] * b[i];
    largest_difference = std::max(largest_difference, std::abs(d)),
    largest = std::max(largest, std::abs(b[i]));
  }
  if (norm == 0) return difference == 0 ? 0 : std::numeric_limits<double>::infinity();
  return std::max(std::sqrt(difference / norm), largest_difference / largest);
}

template <class T>
std::vector<double> lse_of(const Operands<T>& x) {
  std::vector<double> out;
  for (std::int64_t head = 0; head < x.shape.heads; ++head)
    for (std::int64_t row = 0; row < x.shape.queries(); ++row)
      out.push_back(static_cast<double>(x.lse_data[head * (x.shape.queries() + 5) + row]));
  return out;
}

template <class T>
void check_close(const Operands<T>& x, const Reference& expected, double tolerance) {
  CHECK(distance(x.out_data, expected.out) < tolerance);
  CHECK(distance(lse_of(x), expected.lse) < tolerance);
  CHECK(distance(x.dq_data, expected.dq) < tolerance);
  CHECK(distance(x.dk_data, expected.dk) < tolerance);
  CHECK(distance(x.dv_data, expected.dv) < tolerance);
}

// Float32 and float64: rounding of the arithmetic; bfloat16: rounding of inputs to the products and of the
// results.
template <class T>
constexpr double kTolerance = std::is_same_v<T, double>  ? 1e-12
                              : std::is_same_v<T, float> ? 3e-6
                                                         : 8e-3;

const Segments kRagged = documents({1, 37, 64, 5, 1, 90, 16});
// The two pieces of one document on a context-parallel rank share a prefix of keys; keys 150 to 159 are
// nobody's.
const Segments kPieces = {{0, 20, 0, 30}, {20, 60, 0, 150}, {60, 61, 160, 200}, {61, 80, 160, 179}};

const std::vector<Shape> kShapes = {
    {4, 4, 64, kRagged},
    {8, 4, 32, kRagged},
    {8, 2, 64, kRagged},
    {8, 1, 128, kRagged},
    {6, 2, 80, kPieces},
    {4, 2, 128, kPieces},
    {2, 1, 96, kPieces},
    {4, 1, 16, kPieces},
    {3, 3, 8, kRagged},
    {5, 1, 64, kPieces},
    {2, 1, 64, documents({500, 12})},
    {2, 2, 32, {{0, 130, 7, 400}}},
    {1, 1, 136, documents({70})},

};

}  // namespace

TEMPLATE_TEST_CASE("attention equals its definition, forward and backward", "", double, float, bfloat16) {
  for (const Shape& shape : kShapes) {
    Operands<TestType> x(shape);
    const Reference expected = Evaluation<TestType>(x).result;
    for (const CpuPath path : runnable_cpu_paths()) {
      INFO("path " << static_cast<int>(path) << " H " << shape.heads << " K " << shape.kv_heads << " E "
                   << shape.head_dim << " queries " << shape.queries());
      run_both(x, path);
      check_close(x, expected, kTolerance<TestType>);
    }
  }
}

TEMPLATE_TEST_CASE("a range of kv heads is a slice of every tensor", "", double, float, bfloat16) {
  const Shape shape{8, 4, 64, kRagged};
  for (const CpuPath path : runnable_cpu_paths()) {
    Operands<TestType> whole(shape), pieces(shape);
    run_both(whole, path);
    for (const auto& [begin, end] : {std::pair{0, 1}, std::pair{1, 4}}) {
      AttentionForward forward = pieces.forward();
      forward.q = forward.q.slice(1, 2 * begin, 2 * end),
      forward.out = forward.out.slice(1, 2 * begin, 2 * end);
      forward.k = forward.k.slice(1, begin, end), forward.v = forward.v.slice(1, begin, end);
      forward.lse = forward.lse.slice(0, 2 * begin, 2 * end);
      run(forward, path);
      AttentionBackward backward = pieces.backward();
      backward.q = forward.q, backward.k = forward.k, backward.v = forward.v;
      backward.out = forward.out, backward.lse = forward.lse;
      backward.dout = backward.dout.slice(1, 2 * begin, 2 * end),
      backward.dq = backward.dq.slice(1, 2 * begin, 2 * end);
      backward.dk = backward.dk.slice(1, begin, end), backward.dv = backward.dv.slice(1, begin, end);
      run(backward, path);
    }
    const auto same = [](const auto& a, const auto& b) {
      return std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0;
    };
    CHECK(same(whole.out_data, pieces.out_data));
    CHECK(same(whole.lse_data, pieces.lse_data));
    CHECK(same(whole.dq_data, pieces.dq_data));
    CHECK(same(whole.dk_data, pieces.dk_data));
    CHECK(same(whole.dv_data, pieces.dv_data));
  }
}

TEMPLATE_TEST_CASE("attention's bits are the same on 1, 2, 3 and 8 threads", "", double, float, bfloat16) {
  for (const Segments& segments : {kRagged, kPieces}) {
    Operands<TestType> one({8, 2, 64, segments});
    for (const CpuPath path : runnable_cpu_paths()) {
      run_both(one, path);
      for (const int threads : {2, 3, 8}) {
        Operands<TestType> many({8, 2, 64, segments});
        run_both(many, path, threads);
        const auto same = [](const auto& a, const auto& b) {
          return std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0;
        };
        CHECK(same(one.out_data, many.out_data));
        CHECK(same(one.lse_data, many.lse_data));
        CHECK(same(one.dq_data, many.dq_data));
        CHECK(same(one.dk_data, many.dk_data));
        CHECK(same(one.dv_data, many.dv_data));
      }
    }
  }
}

TEST_CASE("attention's gradients are those of finite differences") {
  const Shape shape{4, 2, 8, {{0, 5, 0, 9}, {5, 8, 2, 9}, {8, 9, 10, 11}}};
  Operands<double> x(shape);
  run_both(x, CpuPath::plain);
  const auto loss = [&] {
    run(x.forward(), CpuPath::plain);
    double sum = 0;
    for (std::size_t i = 0; i < x.out_data.size(); ++i) sum += x.out_data[i] * x.dout_data[i];
    return sum;
  };
  const auto check = [&](const Tensor& operand, const Tensor& gradient) {
    for (std::int64_t row = 0; row < operand.dims[0]; ++row) {
      for (std::int64_t i = 0; i < operand.dims[1] * operand.dims[2]; ++i) {
        double& value = at<double>(operand, row, 0, i);
        const double before = value, step = 1e-5;
        value = before + step;
        const double above = loss();
        value = before - step;
        const double difference = (above - loss()) / (2 * step);
        value = before;
        REQUIRE(at<double>(gradient, row, 0, i) == Approx(difference).margin(1e-8).epsilon(1e-7));
      }
    }
  };
  check(x.q, x.dq);
  check(x.k, x.dk);
  check(x.v, x.dv);
}

TEMPLATE_TEST_CASE("keys of other documents are not computed with", "", double, float, bfloat16) {
  const Shape shape{4, 2, 64, documents({13, 70, 21})};
  for (const CpuPath path : runnable_cpu_paths()) {
    Operands<TestType> clean(shape), poisoned(shape);
    run_both(clean, path);
    for (const std::int64_t row : {0, 12, 83, 103})
      for (std::int64_t e = 0; e < 2 * 64; ++e)
        at<TestType>(poisoned.k, row, 0, e) = at<TestType>(poisoned.v, row, 0, e) = TestType(std::nanf(""));
    run_both(poisoned, path);
    const auto same = [](const auto& a, const auto& b, std::int64_t width) {
      return std::memcmp(a.data() + 13 * width, b.data() + 13 * width,
                         static_cast<std::size_t>(70 * width) * sizeof a[0]) == 0;
    };
    CHECK(same(clean.out_data, poisoned.out_data, 4 * 64));
    CHECK(same(clean.dq_data, poisoned.dq_data, 4 * 64));
    CHECK(same(clean.dk_data, poisoned.dk_data, 2 * 64));
    CHECK(same(clean.dv_data, poisoned.dv_data, 2 * 64));
  }
}

TEMPLATE_TEST_CASE("keys nobody sees get a gradient of exactly zero", "", double, float, bfloat16) {
  for (const CpuPath path : runnable_cpu_paths()) {
    Operands<TestType> x({4, 2, 32, kPieces});
    run_both(x, path);
    for (std::int64_t i = 150 * 2 * 32; i < 160 * 2 * 32; ++i) {
      REQUIRE(x.dk_data[i] == 0);
      REQUIRE(x.dv_data[i] == 0);
    }
  }
}

TEMPLATE_TEST_CASE("large logits stay finite and exact", "", double, float, bfloat16) {
  Operands<TestType> x({4, 2, 64, documents({150, 20}), 30});
  const Reference expected = Evaluation<TestType>(x).result;
  for (const CpuPath path : runnable_cpu_paths()) {
    run_both(x, path);
    check_close(x, expected, 30 * kTolerance<TestType>);
  }
}

TEST_CASE("attention scratch is a function of shapes, not of segments") {
  Operands<float> one({4, 2, 64, documents({100})}), many({4, 2, 64, documents(std::vector<int>(100, 1))});
  for (const CpuPath path : runnable_cpu_paths()) {
    CHECK(cpu::attention_scratch_bytes(path, one.forward(), 3) ==
          cpu::attention_scratch_bytes(path, many.forward(), 3));
    CHECK(cpu::attention_scratch_bytes(path, one.backward(), 3) ==
          cpu::attention_scratch_bytes(path, many.backward(), 3));
    run_both(many, path, 3);
  }
}

}  // namespace drover
