// The checkpoints of an attempt: the one it goes on from, and those it writes.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "launch/run/session.h"
#include "launch/run/stopwatch.h"
#include "launch/run/totals.h"
#include "train/trainer.h"

namespace drover {

class RunCheckpoints {
 public:
  struct Parts {
    Process& process;
    FileSystem& files;
    const RunConfig& run;
    RunSession& session;
    Trainer& trainer;
    RunTotals& totals;
    std::string fingerprint;  // of this run's numerics
  };
  // What is referred to outlives this.
  explicit RunCheckpoints(const Parts& parts) : p_(parts) {}

  // Goes on from the newest checkpoint that verifies, if there is any; with `from`, from the one of that step, and newer
  // ones are set aside. Error{input} when that one is not there, Error{usage} for a checkpoint of another model.
  // Collective.
  void resume(std::optional<std::int64_t> from);
  // Saves the trainer's step, unless that is saved already. Collective.
  void save();
  // Since the last save, or since the attempt began.
  double seconds_since_save() const { return since_save_.seconds(); }
  // Of the checkpoint saved or resumed from last. Collective.
  std::string weight_hash();

 private:
  std::filesystem::path find(std::optional<std::int64_t> from);
  void warn_once(const std::string& warning);

  Parts p_;
  Stopwatch since_save_;
  std::int64_t saved_step_ = -1;
  std::filesystem::path saved_;
  std::set<std::string> warned_;
};

}  // namespace drover
