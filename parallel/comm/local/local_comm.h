// Ranks as threads of one process: the implementation that unit tests, `drover verify` and a laptop use.
#pragma once

#include <functional>
#include <memory>

#include "parallel/comm/communicator.h"
#include "parallel/comm/deadlines.h"

namespace drover {

// How long join and wait block before they throw CommError: as the run's phase says, else for `deadline`.
struct CommOptions {
  Deadlines::Duration deadline = Deadlines::kTimeout;
  const PhaseClock* phases = nullptr;  // outlives the communicators

  Deadlines::Duration waiting() const { return phases != nullptr ? phases->waiting() : deadline; }
  // "phase step, ", for messages; nothing where no clock was given.
  std::string phase_text() const;
};

// Runs `body(world)` on `ranks` threads, each with its communicator, and returns when all have ended. The
// first exception of any rank aborts the others and is rethrown here.
void run_local_ranks(int ranks, const std::function<void(Communicator& world)>& body,
                     const CommOptions& options = {});

// A world of one rank, for running without mpirun.
std::unique_ptr<Communicator> single_rank_world();

}  // namespace drover
