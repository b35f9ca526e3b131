#include "data/order/sampler.h"

#include "core/base/error.h"

namespace drover {
namespace {

void check_phase(const std::vector<Phase>& phases, std::size_t i) {
  const Phase& phase = phases[i];
  if (phase.sequence_length < 1)
    throw usage_error("phase ", i, ": sequence_length ", phase.sequence_length, " must be at least 1");
  if (phase.batch_tokens < 1 || phase.batch_tokens % phase.sequence_length != 0) {
    const std::int64_t rows = phase.batch_tokens / phase.sequence_length + 1;
    throw usage_error("phase ", i, ": batch_tokens ", phase.batch_tokens,
                      " must be a multiple of sequence_length ", phase.sequence_length, ", for example ",
                      rows * phase.sequence_length);
  }
  if (phase.weights.size() != phases.front().weights.size()) {
    throw usage_error("phase ", i, " has ", phase.weights.size(), " weights, phase 0 has ",
                      phases.front().weights.size());
  }
  if (i == 0 && phase.from_tokens != 0)
    throw usage_error("the first phase starts at token ", phase.from_tokens, ", must be 0");
  if (i > 0 && phase.from_tokens <= phases[i - 1].from_tokens) {
    throw usage_error("phase ", i, " starts at token ", phase.from_tokens, ", not after phase ", i - 1,
                      " at ", phases[i - 1].from_tokens);
  }
}

}  // namespace

Sampler::Sampler(std::vector<Phase> phases) : phases_(std::move(phases)) {
  if (phases_.empty()) throw usage_error("there is no phase to train");
  for (std::size_t i = 0; i < phases_.size(); ++i) {
    check_phase(phases_, i);
    mixtures_.emplace_back(phases_[i].weights);
  }
}

SamplerState Sampler::start() const { return resume(0, 0, 0, std::vector<std::int64_t>(sources(), 0)); }

SamplerState Sampler::resume(std::int64_t step, std::int64_t tokens, std::int64_t rows,
                             std::vector<std::int64_t> feed_positions) const {
  if (static_cast<int>(feed_positions.size()) != sources()) {
    throw usage_error("the saved state has ", feed_positions.size(), " feed positions, the configuration ",
                      sources(), " sources");
  }
  for (const std::int64_t value : {step, tokens, rows}) {
    if (value < 0) throw input_error("the saved state has step ", step, ", tokens ", tokens, ", rows ", rows);
  }
  const int phase = phase_at(tokens);
  return {.step = step,
          .tokens = tokens,
          .rows = rows,
          .feed_positions = std::move(feed_positions),
          .phase = phase,
          .phase_rows = mixtures_[phase].counts_before(rows)};
}

int Sampler::phase_at(std::int64_t tokens) const {
  int phase = 0;
  while (phase + 1 < static_cast<int>(phases_.size()) && phases_[phase + 1].from_tokens <= tokens) ++phase;
  return phase;
}

RowAddress Sampler::deal_row(SamplerState& state) const {
  const int source = mixtures_[state.phase].next(state.phase_rows);
  const RowAddress row{source, state.feed_positions[source]};
  const std::int64_t tokens = phase_of(state).sequence_length;
  state.tokens += tokens;
  state.feed_positions[source] += tokens;
  ++state.rows;
  ++state.phase_rows[source];
  return row;
}

void Sampler::end_step(SamplerState& state) const {
  ++state.step;
  const int phase = phase_at(state.tokens);
  if (phase == state.phase) return;
  state.phase = phase;
  state.rows = 0;
  state.phase_rows.assign(state.phase_rows.size(), 0);
}

void Sampler::rows_of_step(const SamplerState& state, StepRows& out) const {
  const Phase& phase = phase_of(state);
  out.sequence_length = phase.sequence_length;
  out.after = state;
  out.rows.clear();
  for (std::int64_t i = 0; i < phase.rows(); ++i) out.rows.push_back(deal_row(out.after));
  end_step(out.after);
}

void Sampler::advance(SamplerState& state) const {
  const std::int64_t rows = phase_of(state).rows();
  for (std::int64_t i = 0; i < rows; ++i) deal_row(state);
  end_step(state);
}

}  // namespace drover
