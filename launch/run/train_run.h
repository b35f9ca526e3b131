// One attempt of a training run, from its YAML to its exit code. The parts, each with a reason of its own:
//   RunSession      the run directory: lock, attempt, console, what is claimed and recorded
//   RunCheckpoints  where the attempt goes on from, and what it saves
//   RunReports      what is said of it while it trains
//   TrainLoop       the steps, and when to save, to evaluate and to stop
// What is trained is built by train/build.cpp.
#pragma once

#include <cstdint>
#include <optional>

#include "core/config/config.h"
#include "launch/process/process.h"
#include "launch/run/session.h"

namespace drover {

struct TrainRequest {
  ConfigSource config;
  RunFolder folder = RunFolder::may_hold_a_run;
  std::optional<std::int64_t> resume_from;  // newer checkpoints are set aside; none: the newest that verifies
  std::string profile;                      // file for a profile of one step; empty: none
};

// Exit::done, or Exit::run_again when a signal stopped it and everything was saved. Throws Error, the same on
// every rank where that can be. Collective.
Exit run_training(Process& process, FileSystem& files, const TrainRequest& request);

}  // namespace drover
