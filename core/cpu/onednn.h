// Matrix products of float32 and bfloat16 through oneDNN, the only place that knows the library.
//
// A LibraryProduct is one shape, ready to run on any worker. It is made at the first use of its shape;
// running it then allocates nothing of ours (what the library allocates inside is listed in
// docs/numerics.md). Each call uses one library thread: the library cuts K differently for different thread
// counts, and bits must not depend on them.
//
// Left alone, the library takes the highest instructions that the processor has. The path tells it how high it may go,
// so that the name of a path is one set of bits on every processor. The library listens once in a process, before its
// first product: of the paths avx512_bf16 and amx a process can use one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/cpu/path.h"
#include "core/ops/backend.h"

namespace drover::cpu {

struct ProductShape {
  Product product;
  Write write;
  DType in, out;                                // float32 or bfloat16; out float32 where write is add
  std::int64_t rows, cols, depth;               // M, N, K; each >= 1
  std::int64_t a_stride, b_stride, out_stride;  // elements from row to row, as stored
  bool operator==(const ProductShape&) const = default;
};

class LibraryProduct;

class Library {
 public:
  Library(int workers, CpuPath path);
  ~Library();

  // Made when missing, which only the owner may do, while nothing runs; finding one is for any thread. Error{usage}
  // where the process's first product bound the library to other instructions.
  LibraryProduct& product(const ProductShape& shape);
  // One run at a time per worker.
  void run(LibraryProduct& product, int worker, const void* a, const void* b, void* out);

  // Forgets all products once they are many: shapes that vary without end (ragged microbatches) must not fill
  // the memory.
  void trim();

  static std::string version();  // "onednn 2.6.3"

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace drover::cpu
