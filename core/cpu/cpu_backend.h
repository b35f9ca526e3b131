// The CPU backend: float64 for proofs, float32 and bfloat16 for speed. One per rank.
//
// Products are cut into tiles of the result by shape; where AVX-512 has instructions for a dtype a tile is a
// call of oneDNN on one library thread (core/cpu/products.h). Other products, attention and everything bound
// by memory are our own. The instruction path (core/cpu/path.h) follows from what the processor is, unless the caller
// names one.
#pragma once

#include <memory>

#include "core/cpu/path.h"
#include "core/ops/backend.h"

namespace drover {

struct CpuOptions {
  int threads = 1;                    // compute threads of this rank, the caller included
  CpuPath path = default_cpu_path();  // not above highest_cpu_path(), or Error{usage}
};

// memory must be host memory and outlive the backend.
std::unique_ptr<Backend> make_cpu_backend(Memory& memory, const CpuOptions& options = {});

}  // namespace drover
