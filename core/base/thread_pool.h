// The compute threads of one rank: cores / (ranks of this host), the caller included.
//
// Work is cut into tiles by a rule of the shapes alone, never of the number of threads; a tile's result may
// not depend on which thread runs it or when. That is what makes bits equal at 1, 2, 3 and 8 threads
// (docs/numerics.md).
//
// Threads wait by spinning for a bounded time and then sleeping, so that more ranks than cores still run.
#pragma once

#include <cstdint>
#include <memory>

#include "core/base/function_ref.h"

namespace drover {

class ThreadPool {
 public:
  // threads >= 1; threads - 1 are started here and joined in the destructor. Error{usage}: the system gives no more.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls work(tile, worker) once for every tile in [0, tiles), handing tiles out in increasing order to
  // whichever thread is free, and returns when all are done. `worker` in [0, threads()) says whose private
  // workspace may be used. One call at a time, from the thread that owns the rank; no nesting. The first
  // exception thrown by a tile is rethrown here after all threads have stopped. Does not allocate.
  void run(std::int64_t tiles, FunctionRef<void(std::int64_t tile, int worker)> work);

 private:
  struct Shared;
  int threads_;
  std::unique_ptr<Shared> shared_;
};

}  // namespace drover
