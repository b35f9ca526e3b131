// Matrix products on the CPU: cut into tiles of the result by a rule of the shape and path alone, so that
// bits don't depend on the number of threads; each tile is one call of the library, or of the own float64
// kernel.
#pragma once

#include "core/cpu/cpu_backend.h"
#include "core/cpu/kernels.h"
#include "core/cpu/onednn.h"
#include "core/thread_pool.h"

namespace drover::cpu {

// Tiles of the result, row-major; the last row and column of tiles may be smaller.
struct TileGrid {
  std::int64_t rows, cols;  // of the result
  std::int64_t tile_rows, tile_cols;
  std::int64_t across() const { return (cols + tile_cols - 1) / tile_cols; }
  std::int64_t tiles() const { return (rows + tile_rows - 1) / tile_rows * across(); }
};

// For library products: tiles big enough for the library's blocking, and at least eight where the product is
// big enough.
TileGrid library_tiles(Product product, std::int64_t rows, std::int64_t cols, std::int64_t depth);

class Products {
 public:
  Products(Memory& memory, ThreadPool& pool, CpuPath path, const KernelTable& kernels);

  // At least one element of out, data set. bfloat16 below avx512_bf16 converts tiles to float32 and
  // multiplies those.
  void run(const Matmul& m);

 private:
  void run_empty_sum(const Matmul& m);
  void run_float64(const Matmul& m);
  void run_library(const Matmul& m);
  void run_converted(const Matmul& m);
  void reserve_workspace(std::int64_t bytes_per_worker);
  void* workspace(int worker) const;

  Memory& memory_;
  ThreadPool& pool_;
  const KernelTable& kernels_;
  bool library_has_bfloat16_;
  Library library_;
  Buffer workspace_;
  std::int64_t workspace_bytes_ = 0;  // per worker
};

}  // namespace drover::cpu
