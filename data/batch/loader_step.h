// Reads one rank's share of one step: the loader without its thread.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor/memory.h"
#include "data/batch/batch_buffer.h"
#include "data/batch/loader.h"
#include "data/batch/step_plan.h"

namespace drover {

class StepReader;

// One rank's share of one step, and the memory it lives in.
struct StepBuffer {
  StepBuffer(Memory& memory, const StepReader& reader);

  BatchBuffer tokens;
  std::vector<Microbatch> microbatches;
  StepBatch batch;
  SamplerState after;  // the state at which the next step starts
};

class StepReader {
 public:
  explicit StepReader(const LoaderOptions& options);

  const Sampler& sampler() const { return planner_.sampler(); }
  const ContextShare& context() const { return context_; }
  PlantedBug* planted() const { return planted_; }
  // Over all phases, of one rank.
  std::int64_t max_sequence_length() const { return planner_.max_sequence_length(); }
  std::int64_t max_tokens() const;
  std::int64_t max_microbatches() const;
  std::int64_t max_microbatch_tokens() const;
  std::vector<std::int64_t> microbatch_sizes() const;

  void read(const SamplerState& state, StepBuffer& out);

 private:
  void append_microbatch(std::span<const std::int32_t> rows, StepBuffer& out);
  std::int64_t tokens_of(std::int64_t rows, const Phase& phase) const;

  int data_rank_, data_ranks_, microbatch_sequences_;
  ContextShare context_;
  PlantedBug* planted_;
  StepPlanner planner_;
};

}  // namespace drover
