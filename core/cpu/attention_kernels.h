// Between the driver (attention.cpp), which cuts a call into tasks, and the kernels of one instruction path,
// which do one task on one thread. Plain values only: files compiled for an instruction set include this and
// little else, so that no inline function shared with the rest of the program is compiled with their flags.
#pragma once

#include <cstdint>

#include "core/tensor/dtype.h"

namespace drover::cpu {

// Element [row, head, e] is data[row * row_stride + head * head_stride + e], of the dtype the kernel was made
// for.
struct HeadRows {
  void* data = nullptr;
  std::int64_t row_stride = 0, head_stride = 0;
};

// One kv head of one segment. All views start at the segment's first row and at the first head concerned: row
// i of the queries sees keys [0, kv_length - q_length + i + 1), lane i is query row i / group and query head
// i % group.
struct AttentionTask {
  HeadRows q, k, v, out;
  HeadRows dout, dq, dk, dv;  // backward only; dk and dv are master and added to
  HeadRows lse;               // master; [row, head] without e: row_stride is 1
  std::int64_t q_length = 0, kv_length = 0;
  std::int64_t group = 1;  // query heads per kv head
  std::int64_t head_dim = 0;
  double scale = 1;
  std::int64_t lane_begin = 0, lane_end = 0;  // lanes wanted, of q_length * group
};

struct AttentionKernels {
  std::int64_t forward_lanes;                                // lanes of a forward task, at most
  std::int64_t (*forward_workspace)(std::int64_t head_dim);  // bytes one thread needs, 64-byte aligned
  std::int64_t (*backward_workspace)(std::int64_t head_dim);
  void (*forward)(const AttentionTask& task, void* workspace);
  void (*backward)(const AttentionTask& task, void* workspace);
};

// float32, float64, and bfloat16 through float32; any head dim.
AttentionKernels attention_kernels_plain(DType dtype);
AttentionKernels attention_kernels_avx2(DType dtype);
AttentionKernels attention_kernels_avx512(DType dtype);

// bfloat16 products; head dims up to kMaxBf16HeadDim.
inline constexpr std::int64_t kMaxBf16HeadDim = 128;
AttentionKernels attention_kernels_avx512bf16(std::int64_t head_dim);

}  // namespace drover::cpu
