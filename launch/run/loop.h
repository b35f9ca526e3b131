// An attempt's steps, and when between them to save, to evaluate and to stop.
#pragma once

#include <optional>

#include "launch/process/signals.h"
#include "launch/run/checkpoints.h"
#include "launch/run/profile.h"
#include "launch/run/reports.h"
#include "train/trainer.h"

namespace drover {

class TrainLoop {
 public:
  struct Parts {
    Process& process;
    FileSystem& files;
    const Config& config;
    const StopSignals& signals;
    Training& training;
    Trainer& trainer;
    Profile* profile = nullptr;  // null: no step is watched
    RunTotals& totals;
    RunReports& reports;
    RunCheckpoints& checkpoints;
    Console& console;
  };
  // What is referred to outlives this.
  explicit TrainLoop(const Parts& parts) : p_(parts) {}

  // Trains until the last step, or until some rank was asked to stop; then saves and, unless stopped, evaluates.
  // Collective.
  void run();
  bool stopped() const { return stopped_; }
  // Of the step that is completed now; none if it was not evaluated.
  std::optional<Evaluation> evaluation() const;

 private:
  void step();
  void expect_other_steps();
  StepWishes wishes() const;
  void evaluate();
  std::int64_t done() const { return p_.trainer.completed_steps(); }

  Parts p_;
  bool stopped_ = false;
  std::int64_t phases_begun_ = 0;  // of the configuration's, as of the last step
  std::int64_t evaluated_step_ = -1;
  Evaluation evaluation_;  // of that step
};

}  // namespace drover
