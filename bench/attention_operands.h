// What an attention kernel reads and writes, with random content: for benchmarks.
#pragma once

#include <cmath>
#include <random>
#include <vector>

#include "core/cpu/attention.h"
#include "core/tensor/memory.h"

namespace drover {

constexpr std::int64_t kAttentionHeads = 8, kAttentionKvHeads = 4;

struct AttentionShape {
  std::int64_t head_dim = 64;
  DType dtype = DType::bfloat16;
  std::int64_t keys = 0;
  std::vector<Segment> segments;  // the last one's q_end is the number of queries
};

class AttentionOperands {
 public:
  AttentionOperands(const AttentionShape& shape, CpuPath path, int threads) : segments_(shape.segments) {
    const std::int64_t n = shape.segments.back().q_end, n_all = shape.keys, e = shape.head_dim;
    const DType master = master_dtype(shape.dtype);
    forward = {.q = make(shape.dtype, {n, kAttentionHeads, e}),
               .k = make(shape.dtype, {n_all, kAttentionKvHeads, e}),
               .v = make(shape.dtype, {n_all, kAttentionKvHeads, e}),
               .segments = segments_,
               .scale = 1 / std::sqrt(static_cast<double>(e)),
               .out = make(shape.dtype, {n, kAttentionHeads, e}),
               .lse = make(master, {kAttentionHeads, n})};
    backward = {.q = forward.q,
                .k = forward.k,
                .v = forward.v,
                .out = forward.out,
                .lse = forward.lse,
                .dout = make(shape.dtype, {n, kAttentionHeads, e}),
                .segments = segments_,
                .scale = forward.scale,
                .dq = make(shape.dtype, {n, kAttentionHeads, e}),
                .dk = make(master, {n_all, kAttentionKvHeads, e}),
                .dv = make(master, {n_all, kAttentionKvHeads, e})};
    forward.scratch = make(DType::uint8, {cpu::attention_scratch_bytes(path, forward, threads)});
    backward.scratch = make(DType::uint8, {cpu::attention_scratch_bytes(path, backward, threads)});
    for (const Tensor& t : {forward.q, forward.k, forward.v, backward.dout}) randomize(t);
  }
  AttentionForward forward;
  AttentionBackward backward;

 private:
  Tensor make(DType dtype, std::initializer_list<std::int64_t> dims) {
    const std::int64_t bytes = Tensor::of(nullptr, dtype, dims).bytes();
    buffers_.emplace_back(memory_, bytes, MemoryCategory::scratch);
    return buffers_.back().tensor(dtype, dims);
  }
  static void randomize(const Tensor& t) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (std::int64_t i = 0; i < t.numel(); ++i) {
      const float x = normal(random);
      if (t.dtype == DType::bfloat16)
        t.as<bfloat16>()[i] = bfloat16(x);
      else
        t.as<float>()[i] = x;
    }
  }

  std::vector<Segment> segments_;
  HostMemory memory_;
  std::vector<Buffer> buffers_;
};

}  // namespace drover
