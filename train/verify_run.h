// Runs a configuration on ranks and puts together, on the first of them, all that layouts are compared by.
#pragma once

#include <functional>

#include "parallel/comm/local/local_comm.h"
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
  std::string weight_hash;         // docs/checkpoint_format.md
  std::int64_t planted_lines = 0;  // how often the planted bug's line ran, on all ranks
};

struct VerifyWork {
  Config config;
  int steps = 3;                  // the first so many of the configuration's
  PlantedBug* planted = nullptr;  // shared by the ranks of this process
};

// What is thrown while a rank's training is built is thrown on as it is, Error{usage} for what is no layout of this
// configuration. From then on an Error is never one of usage: a training that was built must run.
// Every rank is under a stream sanitizer (core/watch/stream_sanitizer.h): an access that no wait orders is such an Error.

// On `ranks` threads of this process. A rank that is alone in a collective for kVerifyDeadline ends the run with
// CommError; what a rank throws is thrown here. `files` serves the configuration's sources.
constexpr std::chrono::minutes kVerifyDeadline{2};
VerifyRun record_local_run(int ranks, FileSystem& files, const VerifyWork& work);

// What layouts run on where ranks are processes.
struct VerifyProcesses {
  Communicator& world;
  // The same ranks, with a deadline longer than any run takes: those that a run leaves out wait here for its end.
  Communicator& meeting;
  const Exec& control;  // for messages between runs
  FileSystem& files;
  std::function<std::unique_ptr<Memory>()> make_memory;  // for one rank's run, as it is for training
};

// On the first `ranks` processes; what comes back is there on rank 0 alone. Collective over the world; begins when all
// have come, and ends for each rank with its own part.
std::optional<VerifyRun> record_run_of_processes(const VerifyProcesses& processes, int ranks,
                                                 const VerifyWork& work);

}  // namespace drover
