// The sizes one rank computes with, and the token structure of a microbatch: what modules are given beside
// weights.
#pragma once

#include <algorithm>
#include <span>

#include "core/tensor/segment.h"
#include "core/tensor/tensor.h"
#include "model/config.h"
#include "parallel/regions/context_region.h"
#include "parallel/regions/tensor_region.h"

namespace drover {

// A rank's part of a block under tensor parallelism.
struct BlockDims {
  std::int64_t hidden = 0;     // D
  std::int64_t heads = 0;      // H
  std::int64_t kv_heads = 0;   // K
  std::int64_t head_size = 0;  // E
  std::int64_t ffn = 0;        // F
  double epsilon = 1e-5;
  DType compute = DType::float32;

  std::int64_t qkv_cols() const { return (heads + 2 * kv_heads) * head_size; }
  std::int64_t attention_cols() const { return heads * head_size; }
  DType master() const { return master_dtype(compute); }
};

// `tensor_ranks` divide the model as model/layouts.h checks; where they are more than the kv heads, each holds one.
inline BlockDims block_dims(const ModelConfig& config, DType compute, int tensor_ranks) {
  return {.hidden = config.hidden_size,
          .heads = config.num_attention_heads / tensor_ranks,
          .kv_heads = std::max<std::int64_t>(1, config.num_key_value_heads / tensor_ranks),
          .head_size = config.head_size(),
          .ffn = config.intermediate_size / tensor_ranks,
          .epsilon = config.rms_norm_eps,
          .compute = compute};
}

// How a rank meets the others inside a block: it holds N / TP tokens between products, N inside, and attends to the
// keys of CP x N.
struct Regions {
  TensorRegion tensor;
  ContextRegion context;
};

// Where the N packed tokens stand: what attention needs to know of a microbatch.
struct Sequence {
  Tensor positions;  // [N] int32
  std::span<const Segment> segments;
  KeyOrder keys;

  std::int64_t tokens() const { return positions.dims[0]; }
};

}  // namespace drover
