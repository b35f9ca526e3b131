// Runs a configuration on ranks and puts together, on the first of them, all that layouts are compared by.
#pragma once

#include "parallel/local_comm.h"
#include "train/verify_compare.h"

namespace drover {

struct VerifyCost {
  SentBytes sent{};             // all ranks and steps together
  double balance = 1;           // attended pairs of a rank, max over mean
  std::int64_t peak_bytes = 0;  // memory of the rank with most
};

struct VerifyRun {
  RunRecord record;
  VerifyCost cost;
  std::string weight_hash;       // docs/checkpoint_format.md
  std::int64_t fault_lines = 0;  // how often the planted fault's line ran, on all ranks
};

struct VerifyWork {
  Config config;
  int steps = 3;                     // the first so many of the configuration's
  FaultInjection* faults = nullptr;  // shared by the ranks of this process
};

// On `ranks` threads of this process. A rank that is alone in a collective for kVerifyDeadline ends the run with
// CommError; what a rank throws is thrown here. `files` serves the configuration's sources.
constexpr std::chrono::minutes kVerifyDeadline{2};
VerifyRun record_local_run(int ranks, FileSystem& files, const VerifyWork& work);

// On the first `ranks` of the processes of `world`, while the others wait; what comes back is there on rank 0
// alone. Collective over `world`.
std::optional<VerifyRun> record_run_of_processes(Communicator& world, int ranks, FileSystem& files,
                                                 const VerifyWork& work);

}  // namespace drover
