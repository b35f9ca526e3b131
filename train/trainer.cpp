#include "train/trainer.h"

#include <algorithm>
#include <cmath>

#include "core/ops/ops.h"
#include "core/watch/planted_bug.h"
#include "model/initialise.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"

namespace drover {

// What ranks add up at the end of a step.
struct Trainer::Sums {
  double squares = 0, loss = 0, stop = 0, save = 0;
};

Tensor Trainer::float_numbers() const { return numbers_buffer_.tensor(DType::float64, {4}); }

Tensor Trainer::integer_numbers() const {
  return numbers_buffer_.tensor(DType::int64, {1}, Arena::kAlignment);
}

void Trainer::run_microbatches(const StepBatch& batch) {
  const auto program =
      std::find_if(t_.drive.programs.begin(), t_.drive.programs.end(),
                   [&](const StepProgram& of) { return of.microbatches == std::ssize(batch.microbatches); });
  DROVER_CHECK(program != t_.drive.programs.end(), "no program for ", batch.microbatches.size(),
               " microbatches");
  t_.model.groups->begin_step(exec_);
  for (std::size_t chunk = 0; chunk < t_.model.stages.size(); ++chunk)
    t_.model.stages[chunk]->begin_step(exec_, batch.microbatches, program->weight_stretches[chunk]);
  t_.drive.pipeline->run(exec_, program->steps, program->stretch_ends, t_.drive.driven);
  t_.model.groups->finish_gradients(exec_);
  t_.model.shared_gradients->sum(exec_);
}

// Adds the summed loss of this rank's tokens to `sum` [1], where it is not a copy of another rank's.
void Trainer::add_loss_here(const Tensor& sum) const {
  if (t_.plan.at.tensor != 0) return;
  for (const auto& stage : t_.model.stages)
    ops::copy(exec_, {.in = stage->loss(), .out = sum, .write = Write::add});
}

// Each number is contributed by the ranks that are the only ones to hold it.
Trainer::Sums Trainer::reduce_sums(const StepWishes& wishes) {
  const Tensor numbers = float_numbers();
  double* mine = numbers.as<double>();
  mine[0] = mine[1] = 0;
  mine[2] = wishes.stop ? 1 : 0;
  mine[3] = wishes.save ? 1 : 0;
  if (t_.plan.at.replicate == 0 || injects(exec_.planted, Bug::norm_counts_replicas))
    add_gradient_squares(exec_, t_.plan.table, *t_.model.groups, t_.plan.at.tensor, numbers.slice(0, 0, 1));
  add_loss_here(numbers.slice(0, 1, 2));
  const double* sums = sum_over_world(numbers);
  return {.squares = sums[0], .loss = sums[1], .stop = sums[2], .save = sums[3]};
}

StepReport Trainer::step(const StepWishes& wishes) {
  const StepBatch& batch = t_.data.loader->next();
  const Tensor counted = integer_numbers();
  *counted.as<std::int64_t>() = counts_tokens() ? batch.valid_targets : 0;
  Pending counting = platform_.world.all_reduce(exec_, {.x = counted});
  run_microbatches(batch);
  counting.wait(exec_);
  const Sums sums = reduce_sums(wishes);

  const int token_ranks = t_.plan.mesh.group_shards() * t_.plan.mesh.size(Axis::replicate);
  const std::int64_t targets = token_ranks > 1 && injects(exec_.planted, Bug::loss_normalised_per_rank)
                                   ? batch.valid_targets * token_ranks
                                   : *counted.as<std::int64_t>();
  const GradientScale scale = gradient_scale(sums.squares, targets, t_.plan.config.optimizer.clip_norm);
  StepReport report{.step = completed_ + 1,
                    .tokens = t_.data.loader->state().tokens,
                    .batch_tokens = batch.batch_tokens,
                    .targets = targets,
                    .attended_pairs = batch.step_attended_pairs,
                    .loss = targets > 0 ? sums.loss / static_cast<double>(targets) : 0,
                    .grad_norm = scale.norm,
                    .lr = learning_rate(t_.plan.config.optimizer, completed_, t_.plan.total_steps),
                    .stop = sums.stop > 0,
                    .save = sums.save > 0};
  if (!std::isfinite(sums.loss) || !std::isfinite(sums.squares))
    throw Error(Exit::diverged,
                cat("step ", report.step, ": loss ", report.loss, " and gradient norm ", report.grad_norm,
                    " are not finite; restart from an earlier checkpoint with a lower optimizer.lr or a "
                    "longer warm-up"));
  apply_adamw(exec_, t_.plan.config.optimizer, t_.plan.table, *t_.model.groups,
              {.step = completed_, .lr = report.lr, .gradient_scale = scale.factor});
  ++completed_;
  own_attended_pairs_ += batch.attended_pairs;
  return report;
}

std::optional<double> Trainer::evaluate(FunctionRef<bool()> stop) {
  DROVER_CHECK(t_.data.holdout != nullptr, "no hold-out");
  const Tensor numbers = float_numbers();  // loss, targets, stop
  double* mine = numbers.as<double>();
  double targets = 0;
  for (const auto& stage : t_.model.stages) stage->begin_step(exec_, {}, 0);
  const StepProgram& turn = t_.drive.evaluation;
  for (std::int64_t first = 0; first < t_.data.holdout->microbatches(); first += turn.microbatches) {
    for (const auto& stage : t_.drive.evaluated_stages) stage->begin(first);
    t_.drive.pipeline->run(exec_, turn.steps, turn.stretch_ends, t_.drive.evaluated);
    if (counts_tokens()) targets += static_cast<double>(t_.drive.evaluated_stages.front()->targets());
    mine[2] = stop() ? 1 : 0;
    if (sum_over_world(numbers.slice(0, 2, 3))[0] > 0) return std::nullopt;
  }
  mine[0] = 0;
  mine[1] = targets;
  add_loss_here(numbers.slice(0, 0, 1));
  const double* sums = sum_over_world(numbers.slice(0, 0, 2));
  return sums[0] / sums[1];
}

const double* Trainer::sum_over_world(const Tensor& numbers) {
  platform_.world.all_reduce(exec_, {.x = numbers}).wait(exec_);
  platform_.backend.synchronize(exec_.stream);
  return numbers.as<double>();
}

std::vector<StateEntry> Trainer::entries(std::span<const Slot> slots, Holders holders) const {
  std::vector<StateEntry> entries;
  if (holders == Holders::writer && t_.plan.at.replicate != 0) return entries;
  for (int g = 0; g < t_.model.groups->count(); ++g) {
    const GroupShard& shard = t_.model.groups->shard(g);
    const GroupLayout& layout = t_.model.groups->layout(g);
    for (const FlatBox& piece : boxes_of_range(layout, shard.begin, shard.begin + shard.master.dims[0])) {
      const ParameterLayout& parameter = t_.plan.table[static_cast<std::size_t>(piece.parameter)];
      if (holders == Holders::writer && !(layout.counted && counts_piece(parameter, t_.plan.at.tensor)))
        continue;
      for (const auto& [name, flat] : slots)
        entries.push_back({.name = parameter.name,
                           .slot = name,
                           .dtype = (shard.*flat).dtype,
                           .shape = parameter.shape,
                           .dims = parameter.dims,
                           .box = piece.box,
                           .data = (shard.*flat).slice(0, piece.offset, piece.offset + piece.box.numel())});
    }
  }
  return entries;
}

std::vector<StateEntry> Trainer::state_entries(Holders holders) const {
  constexpr std::array kSlots{Slot{"weight", &GroupShard::master}, Slot{"moment1", &GroupShard::moment1},
                              Slot{"moment2", &GroupShard::moment2}};
  return entries(kSlots, holders);
}

std::vector<StateEntry> Trainer::gradient_entries() const {
  constexpr std::array kSlots{Slot{"gradient", &GroupShard::gradient}};
  return entries(kSlots, Holders::all);
}

RunState Trainer::run_state() const {
  const SamplerState& sampler = t_.data.loader->state();
  RunState state{.step = completed_, .tokens = sampler.tokens, .rows = sampler.rows};
  if (!t_.plan.config.data.synthetic) state.tokenizer = t_.data.sources.front()->tokenizer_digest();
  for (std::size_t i = 0; i < t_.data.sources.size(); ++i)
    state.feeds.push_back({.source = t_.data.sources[i]->name(), .position = sampler.feed_positions[i]});
  return state;
}

void Trainer::resume(const RunState& state) {
  if (state.feeds.empty() && state.step == 0) {  // imported weights know of no data: it begins
    t_.data.loader->seek(t_.data.loader->sampler().start());
    refresh_working(exec_, *t_.model.groups);
    return;
  }
  if (state.feeds.size() > t_.data.sources.size())
    throw input_error("the checkpoint has ", state.feeds.size(), " sources, the configuration ",
                      t_.data.sources.size(),
                      "; a run resumes on the token stores it was started with (a weight of 0 rests one)");
  std::vector<std::int64_t> positions;
  for (std::size_t i = 0; i < t_.data.sources.size(); ++i) {
    if (i >= state.feeds.size() || state.feeds[i].source != t_.data.sources[i]->name())
      throw input_error(
          "the checkpoint's source ", i, " is ", i < state.feeds.size() ? state.feeds[i].source : "missing",
          ", the configuration's is ", t_.data.sources[i]->name(), " in ", t_.data.sources[i]->where(),
          "; a run resumes on the token stores it was started with");
    positions.push_back(state.feeds[i].position);
  }
  t_.data.loader->seek(
      t_.data.loader->sampler().resume(state.step, state.tokens, state.rows, std::move(positions)));
  refresh_working(exec_, *t_.model.groups);
  completed_ = state.step;
}

}  // namespace drover
