// What a run has taken so far, over all its attempts: what checkpoints keep of it and result.json says.
#pragma once

#include <cstdint>

#include "checkpoint/format/state.h"
#include "launch/run/stopwatch.h"
#include "model/config.h"
#include "train/trainer.h"

namespace drover {

class RunTotals {
 public:
  std::int64_t tokens() const { return tokens_; }
  double flops() const { return flops_; }
  double effective_seconds() const { return effective_seconds_; }
  double wall_seconds() const { return wall_seconds_before_ + attempt_.seconds(); }

  // Counts on from a checkpoint; what earlier attempts did after it is forgotten.
  void go_on_from(const RunState& state);
  void add_step(const StepReport& report, double seconds, const ModelConfig& model);
  // Leaves in a checkpoint's state what go_on_from() reads there; the tokens are in it already.
  void write_to(RunState& state) const;

 private:
  Stopwatch attempt_;
  std::int64_t tokens_ = 0;
  double flops_ = 0, effective_seconds_ = 0, wall_seconds_before_ = 0;
};

}  // namespace drover
