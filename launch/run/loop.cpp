#include "launch/run/loop.h"

#include <algorithm>

namespace drover {

namespace {

// Every so many steps; 0: never.
bool is_due(std::int64_t every, std::int64_t step) { return every > 0 && step % every == 0; }

}  // namespace

void TrainLoop::run() {
  while (!p_.trainer.finished() && !stopped_) step();
  p_.checkpoints.save();
  if (!stopped_ && evaluated_step_ != done()) evaluate();
}

// Rank 0's clock decides for all when it is time to save.
StepWishes TrainLoop::wishes() const {
  const double every = p_.config.checkpoint.every_seconds;
  return {.stop = p_.signals.requested(),
          .save = p_.process.first() && every > 0 && p_.checkpoints.seconds_since_save() >= every};
}

// Where the length of rows or the batch changes, steps take another time than those that were measured.
void TrainLoop::expect_other_steps() {
  const auto& phases = p_.config.phases;
  const std::int64_t begun = std::count_if(phases.begin(), phases.end(), [&](const PhaseConfig& phase) {
    return phase.from_tokens <= p_.totals.tokens();
  });
  if (begun != phases_begun_) p_.process.phases().forget(RunPhase::step);
  phases_begun_ = begun;
}

void TrainLoop::step() {
  p_.process.phases().enter(RunPhase::step);
  expect_other_steps();
  const StepWishes asked = wishes();
  if (p_.profile != nullptr) p_.profile->before_step(p_.process);
  const Stopwatch watch;
  const StepReport report = p_.trainer.step(asked);
  const double seconds = watch.seconds();
  p_.totals.add_step(report, seconds, p_.config.model);
  p_.reports.step(report, seconds, p_.trainer.finished() || report.stop);
  if (p_.profile != nullptr) {
    const std::string said = p_.profile->after_step(p_.process, p_.files, describe(p_.training.plan.at));
    if (!said.empty()) p_.console.print(said);
  }
  stopped_ = report.stop;
  if (report.save || is_due(p_.config.checkpoint.every_steps, done())) p_.checkpoints.save();
  if (!stopped_ && !p_.trainer.finished() && is_due(p_.config.eval.every, done())) evaluate();
}

void TrainLoop::evaluate() {
  if (!p_.training.data.holdout) return;
  p_.process.phases().enter(RunPhase::evaluation);
  const std::optional<double> loss = p_.trainer.evaluate([&] { return p_.signals.requested(); });
  if (!loss) {
    stopped_ = true;
    return;
  }
  evaluated_step_ = done();
  evaluation_ = {.loss = *loss, .bits_per_byte = p_.training.data.holdout->bits_per_byte(*loss)};
  p_.reports.evaluation(evaluation_, done());
}

std::optional<Evaluation> TrainLoop::evaluation() const {
  if (evaluated_step_ != done()) return std::nullopt;
  return evaluation_;
}

}  // namespace drover
