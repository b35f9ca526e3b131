// Matrix products on the CPU: cut into tiles of the result, each of which is one call of the library or of the own
// kernel. Bits don't depend on the number of threads: the library's tiles follow from shape and path alone, and the
// own kernel adds each element's terms in the same order in whatever tile it is.
//
// The library multiplies what it has AVX-512 instructions for: bfloat16 on avx512_bf16 and amx, float32 from avx512 on.
// Everything else is the own kernel's. On AVX2 (bench/results/step_avx2.md) that gains a quarter on dW and loses
// up to a tenth on y and dx in float32, gains a third in bfloat16 because packing converts on the way, and a path
// means the same instructions everywhere. Float64 the library does not have.
#pragma once

#include "core/base/thread_pool.h"
#include "core/cpu/cpu_backend.h"
#include "core/cpu/kernels.h"
#include "core/cpu/onednn.h"

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

// For the own kernel: its panels, or as many smaller ones as keep several threads busy where each is worth waking one
// for. Every tile packs its operands, so on one thread smaller ones only cost.
TileGrid own_tiles(std::int64_t rows, std::int64_t cols, int threads);

class Products {
 public:
  Products(Memory& memory, ThreadPool& pool, CpuPath path, const KernelTable& kernels);

  // At least one element of out, data set.
  void run(const Matmul& m);
  // Makes what products of m's shape need: the library's for its tiles, or the own kernel's workspace. Operands may be
  // shapes only.
  void prepare(const Matmul& m);

 private:
  void run_empty_sum(const Matmul& m);
  void run_own(const Matmul& m);
  void run_library(const Matmul& m);
  bool library_has(DType dtype) const;
  void reserve_workspace(std::int64_t bytes_per_worker);
  void* workspace(int worker) const;

  Memory& memory_;
  ThreadPool& pool_;
  const KernelTable& kernels_;
  CpuPath path_;
  Library library_;
  Buffer workspace_;
  std::int64_t workspace_bytes_ = 0;  // per worker
};

}  // namespace drover::cpu
