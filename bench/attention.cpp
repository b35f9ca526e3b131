// Attention on the CPU: GFLOP/s of attended pairs (4 E a pair and head forward, 10 E backward) and the share
// of what the same threads reach when they do nothing but multiply, measured on registers right before each
// case.
//   bench_attention --benchmark_filter=E64
#include <benchmark/benchmark.h>
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "bench/attention_operands.h"

namespace drover {
namespace {

struct Case {
  std::string name;
  std::int64_t head_dim;
  int threads;
  DType dtype;
  std::vector<Segment> segments;
};

// Documents with Pareto lengths (tail exponent 1.1) from `shortest` on, as web text has them.
std::vector<Segment> heavy_tailed(std::int32_t tokens, double shortest) {
  std::mt19937 random(static_cast<unsigned>(shortest));
  std::vector<Segment> out;
  for (std::int32_t at = 0; at < tokens;) {
    const double u = (static_cast<double>(random()) + 1) / 4294967297.0;
    const auto drawn = static_cast<std::int32_t>(std::min(2500.0, shortest * std::pow(u, -1 / 1.1)));
    const std::int32_t end = at + std::min(drawn, tokens - at);
    out.push_back({at, end, at, end});
    at = end;
  }
  return out;
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Independent chains of multiply-adds that never leave the registers: what no kernel can pass.
constexpr std::int64_t kRounds = 2'000'000;
constexpr int kChains = 24;

// Hides a value from the compiler: chains that start equal would be computed once.
#define OPAQUE(value) asm volatile("" : "+v"(value))

__attribute__((target("avx512f,avx512bf16"))) void multiply_bfloat16() {
  __m512 sum[kChains];
  __m512i x = _mm512_setzero_si512();
  OPAQUE(x);
#pragma GCC unroll 24
  for (int i = 0; i < kChains; ++i) OPAQUE(sum[i] = _mm512_setzero_ps());
  for (std::int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)x, (__m512bh)x);
  }
#pragma GCC unroll 24
  for (int i = 0; i < kChains; ++i) OPAQUE(sum[i]);
}

__attribute__((target("avx512f"))) void multiply_float32() {
  __m512 sum[kChains], x = _mm512_setzero_ps();
  OPAQUE(x);
#pragma GCC unroll 24
  for (int i = 0; i < kChains; ++i) OPAQUE(sum[i] = _mm512_setzero_ps());
  for (std::int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_fmadd_ps(x, x, sum[i]);
  }
#pragma GCC unroll 24
  for (int i = 0; i < kChains; ++i) OPAQUE(sum[i]);
}

__attribute__((target("avx2,fma"))) void multiply_float32_avx2() {
  constexpr int kHalf = kChains / 2;  // of the registers, too
  __m256 sum[kHalf], x = _mm256_setzero_ps();
  OPAQUE(x);
#pragma GCC unroll 12
  for (int i = 0; i < kHalf; ++i) OPAQUE(sum[i] = _mm256_setzero_ps());
  for (std::int64_t round = 0; round < 2 * kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kHalf; ++i) sum[i] = _mm256_fmadd_ps(x, x, sum[i]);
  }
#pragma GCC unroll 12
  for (int i = 0; i < kHalf; ++i) OPAQUE(sum[i]);
}

// A loop and the FLOPs of one of its multiply-adds. bfloat16 without instructions of its own is multiplied in
// float32.
struct PeakLoop {
  void (*run)();
  double flops;
};
PeakLoop peak_loop(DType dtype, CpuPath path) {
  if (dtype == DType::bfloat16 && path == CpuPath::avx512_bf16) return {multiply_bfloat16, 64};
  if (path >= CpuPath::avx512) return {multiply_float32, 32};
  return {multiply_float32_avx2, 16};
}

double register_peak(ThreadPool& pool, DType dtype) {
  const PeakLoop loop = peak_loop(dtype, default_cpu_path());
  const double start = seconds_now();
  pool.run(pool.threads(), [&](std::int64_t, int) { loop.run(); });
  return static_cast<double>(kRounds * kChains * pool.threads()) * loop.flops / (seconds_now() - start);
}

void report(benchmark::State& state, const Case& c, double flops_per_pair, double peak, double seconds) {
  const double flops =
      flops_per_pair * static_cast<double>(attended_pairs(c.segments) * kAttentionHeads * c.head_dim);
  const double rate = flops * static_cast<double>(state.iterations()) / seconds;
  state.counters["GFLOP/s"] = rate * 1e-9;
  state.counters["of_peak"] = rate / peak;
}

template <class Run>
void measure(benchmark::State& state, const Case& c, double flops_per_pair, Run&& run) {
  const CpuPath path = default_cpu_path();
  ThreadPool pool(c.threads);
  const AttentionOperands operands(
      {.head_dim = c.head_dim, .dtype = c.dtype, .keys = c.segments.back().q_end, .segments = c.segments},
      path, c.threads);
  cpu::attention_forward(pool, path, operands.forward);
  const double peak = register_peak(pool, c.dtype);
  double seconds = 0;
  for (auto _ : state) {
    const double start = seconds_now();
    run(pool, path, operands);
    const double taken = seconds_now() - start;
    state.SetIterationTime(taken);
    seconds += taken;
  }
  report(state, c, flops_per_pair, peak, seconds);
}

void add_case(const Case& c) {
  const std::string name =
      c.name + "/E" + std::to_string(c.head_dim) + "/threads" + std::to_string(c.threads);
  const auto add = [&](const std::string& direction, auto body) {
    benchmark::RegisterBenchmark((direction + "/" + name).c_str(), body)
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  };
  add("forward", [c](benchmark::State& state) {
    measure(state, c, 4, [](ThreadPool& pool, CpuPath path, const AttentionOperands& x) {
      cpu::attention_forward(pool, path, x.forward);
    });
  });
  add("backward", [c](benchmark::State& state) {
    measure(state, c, 10, [](ThreadPool& pool, CpuPath path, const AttentionOperands& x) {
      cpu::attention_backward(pool, path, x.backward);
    });
  });
}

// The pair ratio of a mask stands in its name: time over the full mask's time should be near it.
void add_all() {
  constexpr std::int32_t kTokens = 4096;
  const std::vector<Segment> full = {{0, kTokens, 0, kTokens}};
  for (const std::int64_t head_dim : {32, 64, 128}) {
    for (const int threads : {1, 2}) {
      add_case({"bfloat16/full", head_dim, threads, DType::bfloat16, full});
      for (const double shortest : {24.0, 64.0, 150.0}) {
        const std::vector<Segment> documents = heavy_tailed(kTokens, shortest);
        const double ratio =
            static_cast<double>(attended_pairs(documents)) / static_cast<double>(attended_pairs(full));
        const std::string name = "bfloat16/documents" + std::to_string(documents.size()) + "_pairs" +
                                 std::to_string(ratio).substr(0, 5);
        add_case({name, head_dim, threads, DType::bfloat16, documents});
      }
    }
  }
  add_case({"float32/full", 64, 1, DType::float32, full});
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  drover::add_all();
  benchmark::RunSpecifiedBenchmarks();
}
