// Which rows a step trains on and who computes each: everything about a step but its tokens. Reads document
// offsets only, so every rank works it out for all ranks, without messages.
//
// Thread rules: one thread at a time. Allocates in the constructor and in the first plan() of a phase.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "data/batch/loader.h"
#include "data/order/assignment.h"
#include "data/order/feed.h"
#include "data/order/sampler.h"

namespace drover {

class StepPlanner {
 public:
  // The sources outlive this. Throws what Feed and Sampler throw.
  explicit StepPlanner(const LoaderOptions& options);

  const Sampler& sampler() const { return sampler_; }
  std::int64_t max_sequence_length() const;

  // The step that starts at `state`; the rest is about it, until the next plan().
  void plan(const SamplerState& state);
  const StepRows& rows() const { return rows_; }
  std::span<const std::int64_t> pairs() const { return pairs_; }  // attended, of each row
  std::int64_t total_pairs() const;
  const RowAssigner& assigned() const { return assigner_; }
  const TokenSource& source_of(std::int64_t row) const;
  // Until the next call.
  std::span<const Piece> documents_of(std::int64_t row);

 private:
  Sampler sampler_;
  std::vector<std::unique_ptr<Feed>> feeds_;
  RowAssigner assigner_;
  StepRows rows_;
  std::vector<std::int64_t> pairs_;
  std::vector<Piece> documents_;
};

}  // namespace drover
