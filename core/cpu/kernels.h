// The single-threaded inner loops of the CPU backend, as one table per instruction path. A kernel computes
// the rows (or elements, or columns, as said) [begin, end) of its verb; the backend cuts verbs into such
// ranges.
//
// The tables are built by core/cpu/kernels_*.cpp, the only files compiled for an instruction set. All they
// instantiate is named by that set (templates over `Isa`), so the linker can never take one set's code for
// another's.
#pragma once

#include <cstdint>

#include "core/ops/backend.h"

namespace drover::cpu {

template <class Arguments>
using Kernel = void (*)(const Arguments&, std::int64_t begin, std::int64_t end);
template <class Arguments>
using SumKernel = double (*)(const Arguments&, std::int64_t begin, std::int64_t end);

// For one compute dtype.
struct ComputeKernels {
  Kernel<RmsNormForward> rmsnorm_forward;               // rows
  Kernel<RmsNormBackwardInput> rmsnorm_backward_input;  // rows
  // partial[D] master = sum over rows; the backend adds the partials up.
  void (*rmsnorm_backward_weight)(const RmsNormBackwardWeight&, std::int64_t begin, std::int64_t end,
                                  void* partial);
  Kernel<SwigluForward> swiglu_forward;          // rows
  Kernel<SwigluBackward> swiglu_backward;        // rows
  Kernel<EmbeddingBackward> embedding_backward;  // columns, all tokens in order
  Kernel<LossGradient> loss_gradient;            // rows
  Kernel<AdamW> adamw;                           // elements
  Kernel<Combine> combine;                       // elements
};

// For one master dtype.
struct MasterKernels {
  Kernel<Scale> scale;                     // elements
  Kernel<LossStatistics> loss_statistics;  // rows
  SumKernel<LossCombine> loss_combine;     // rows; writes lse, returns their part of the loss
  SumKernel<SumOfSquares> sum_of_squares;  // elements
};

// One tile, rows <= kProductRows and cols <= kProductCols, of a product: out[rows, cols] (+)= A B with A[m,
// k] at a[m * a_row + k * a_depth] and B[k, n] at b[k * b_depth + n * b_col]; one stride of each operand
// is 1. Terms are added in order of k, in blocks of kProductDepth.
struct ProductTile {
  const void *a, *b;
  void* out;
  std::int64_t rows, cols, depth;
  std::int64_t a_row, a_depth, b_col, b_depth, out_row;
  Write write;
  void* workspace;  // kProductWorkspace elements of the master dtype
};
// Packed operands of one thread take half an L2 cache each.
inline constexpr std::int64_t kProductRows = 288, kProductCols = 256, kProductDepth = 256;
// Rows packed as they are lie further apart than their depth: not in the same sets of the first cache.
inline constexpr std::int64_t kProductRowStride = kProductDepth + 16;
inline constexpr std::int64_t kProductWorkspace =
    kProductRows * kProductRowStride + kProductCols * kProductDepth + kProductRows * kProductCols;

inline constexpr int kComputeDTypes = 3, kMasterDTypes = 2;
// Position of a floating dtype in the tables below: float64, float32, bfloat16.
constexpr int table_index(DType dtype) { return static_cast<int>(dtype); }
static_assert(table_index(DType::float64) == 0 && table_index(DType::float32) == 1 &&
              table_index(DType::bfloat16) == 2);

struct KernelTable {
  ComputeKernels compute[kComputeDTypes];
  MasterKernels master[kMasterDTypes];
  Kernel<Copy> copy[kComputeDTypes][kComputeDTypes];  // rows of in and out as matrices; [from][to]
  Kernel<Rope> rope[kComputeDTypes][kComputeDTypes];  // tokens; [from][to], entries with one master dtype
  void (*product[kComputeDTypes][kComputeDTypes])(const ProductTile&);  // [in][out], out in or master
};

const KernelTable& plain_kernels();
const KernelTable& avx2_kernels();    // only on x86-64
const KernelTable& avx512_kernels();  // only on x86-64

}  // namespace drover::cpu
