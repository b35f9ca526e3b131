// The CPU backend: float64 for proofs, float32 and bfloat16 for speed. One per rank.
//
// Products are cut into tiles of the result by shape; where AVX-512 has instructions for a dtype a tile is a
// call of oneDNN on one library thread (core/cpu/products.h). Other products, attention and everything bound
// by memory are our own. The instruction path is chosen once, from what the processor has, unless the caller
// names one.
#pragma once

#include <memory>
#include <string_view>

#include "core/ops/backend.h"

namespace drover {

// In increasing order; each needs all before it.
enum class CpuPath : std::uint8_t { plain, avx2, avx512, avx512_bf16 };
std::string_view name_of(CpuPath path);
CpuPath best_cpu_path();

struct CpuOptions {
  int threads = 1;                 // compute threads of this rank, the caller included
  CpuPath path = best_cpu_path();  // not above best_cpu_path(), or Error{usage}
};

// memory must be host memory and outlive the backend.
std::unique_ptr<Backend> make_cpu_backend(Memory& memory, const CpuOptions& options = {});

}  // namespace drover
