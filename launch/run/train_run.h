// One attempt of a training run, from its YAML to its exit code: the folder, the resume, the loop, its
// checkpoints and evaluations, and the reports people read.
#pragma once

#include <cstdint>
#include <optional>

#include "core/config/config.h"
#include "launch/process/process.h"

namespace drover {

enum class RunFolder : std::uint8_t { may_hold_a_run, must_be_new };

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
