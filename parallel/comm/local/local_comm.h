// Ranks as threads of one process: the implementation that unit tests, `drover verify` and a laptop use.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "parallel/comm/communicator.h"

namespace drover {

struct CommOptions {
  std::chrono::milliseconds deadline =
      std::chrono::minutes(5);  // join and wait throw CommError after this long
};

// Runs `body(world)` on `ranks` threads, each with its communicator, and returns when all have ended. The
// first exception of any rank aborts the others and is rethrown here.
void run_local_ranks(int ranks, const std::function<void(Communicator& world)>& body,
                     const CommOptions& options = {});

// A world of one rank, for running without mpirun.
std::unique_ptr<Communicator> single_rank_world();

}  // namespace drover
