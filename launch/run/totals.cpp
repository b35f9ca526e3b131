#include "launch/run/totals.h"

namespace drover {

void RunTotals::go_on_from(const RunState& state) {
  tokens_ = state.tokens;
  flops_ = state.flops;
  effective_seconds_ = state.effective_seconds;
  wall_seconds_before_ = state.wall_seconds;
}

void RunTotals::add_step(const StepReport& report, double seconds, const ModelConfig& model) {
  tokens_ = report.tokens;
  effective_seconds_ += seconds;
  flops_ += training_flops(model, report.batch_tokens, report.attended_pairs);
}

void RunTotals::write_to(RunState& state) const {
  state.flops = flops_;
  state.effective_seconds = effective_seconds_;
  state.wall_seconds = wall_seconds();
}

}  // namespace drover
