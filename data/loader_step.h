// Reads one rank's share of one step: the loader without its thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/memory.h"
#include "data/assignment.h"
#include "data/batch_buffer.h"
#include "data/feed.h"
#include "data/loader.h"
#include "data/sampler.h"

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

  const Sampler& sampler() const { return sampler_; }
  const ContextShare& context() const { return context_; }
  FaultInjection* faults() const { return faults_; }
  // Over all phases, of one rank.
  std::int64_t max_sequence_length() const;
  std::int64_t max_tokens() const;
  std::int64_t max_microbatches() const;
  std::int64_t max_microbatch_tokens() const;
  std::vector<std::int64_t> microbatch_sizes() const;

  void read(const SamplerState& state, StepBuffer& out);

 private:
  std::int64_t deal_rows();
  void append_microbatch(std::span<const std::int32_t> rows, StepBuffer& out);

  std::int64_t tokens_of(std::int64_t rows, const Phase& phase) const;

  int data_rank_, data_ranks_, microbatch_sequences_;
  ContextShare context_;
  FaultInjection* faults_;
  Sampler sampler_;
  std::vector<std::unique_ptr<Feed>> feeds_;
  RowAssigner assigner_;
  // Reused from step to step.
  StepRows rows_;
  std::vector<Piece> pieces_;        // of one row
  std::vector<std::int64_t> pairs_;  // per row of the step
};

}  // namespace drover
