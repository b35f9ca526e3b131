// Which rows every step trains on: a pure function of a small state, the same on every rank and for any
// number of ranks.
//
//   SamplerState state = sampler.start();
//   sampler.rows_of_step(state, rows);      // as often as you like
//   sampler.advance(state);                 // to the next step
//
// The state moves each source's feed position by exactly the rows taken from it, so sequence length, batch
// and mixture may change at any step, and nothing is skipped or repeated. Thread rules: Sampler is immutable
// after construction; states are values.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/order/mixture.h"

namespace drover {

// A stretch of training with one shape of batch, from the first step at which `from_tokens` input positions
// have been trained on.
struct Phase {
  std::int64_t from_tokens = 0;
  std::int64_t sequence_length = 0;  // T
  std::int64_t batch_tokens = 0;     // input positions of a step, all ranks; a multiple of sequence_length
  std::vector<double> weights;       // one per source of the run, in config order; 0: not used in this phase

  std::int64_t rows() const { return batch_tokens / sequence_length; }
};

struct SamplerState {
  std::int64_t step = 0;                     // steps taken
  std::int64_t tokens = 0;                   // input positions trained on
  std::int64_t rows = 0;                     // rows dealt in the current phase
  std::vector<std::int64_t> feed_positions;  // per source: tokens used
  // Follow from the above (Sampler::resume).
  int phase = 0;
  std::vector<std::int64_t> phase_rows;  // per source: rows dealt in the current phase

  bool operator==(const SamplerState&) const = default;
};

struct RowAddress {
  int source = 0;
  std::int64_t position = 0;  // of the row's first token in the source's feed

  bool operator==(const RowAddress&) const = default;
};

struct StepRows {
  std::int64_t sequence_length = 0;
  std::vector<RowAddress> rows;
  SamplerState after;  // where the next step starts
};

class Sampler {
 public:
  // phases in order of from_tokens, the first at 0. Throws Error{usage} with the numbers when they don't fit.
  explicit Sampler(std::vector<Phase> phases);

  int sources() const { return mixtures_.front().sources(); }
  std::span<const Phase> phases() const { return phases_; }
  const Phase& phase_of(const SamplerState& state) const { return phases_[state.phase]; }

  SamplerState start() const;
  // From what a checkpoint keeps: RunState's step, tokens, rows and feeds (feed_positions in config order).
  SamplerState resume(std::int64_t step, std::int64_t tokens, std::int64_t rows,
                      std::vector<std::int64_t> feed_positions) const;

  // The rows of the step that starts at `state`, in global order. `out` is reused: no allocation once it is
  // large enough.
  void rows_of_step(const SamplerState& state, StepRows& out) const;
  void advance(SamplerState& state) const;

 private:
  int phase_at(std::int64_t tokens) const;
  RowAddress deal_row(SamplerState& state) const;
  void end_step(SamplerState& state) const;

  std::vector<Phase> phases_;
  std::vector<Mixture> mixtures_;  // per phase
};

}  // namespace drover
