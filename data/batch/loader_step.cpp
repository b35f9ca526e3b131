#include "data/batch/loader_step.h"

#include <algorithm>
#include <set>
#include <span>

#include "core/base/error.h"

namespace drover {
namespace {

std::int64_t rows_of_rank(const Phase& phase, int data_ranks) {
  return (phase.rows() + data_ranks - 1) / data_ranks;
}

template <class Size>
std::int64_t largest(std::span<const Phase> phases, Size size_of_phase) {
  std::int64_t size = 0;
  for (const Phase& phase : phases) size = std::max(size, size_of_phase(phase));
  return size;
}

}  // namespace

StepBuffer::StepBuffer(Memory& memory, const StepReader& reader)
    : tokens(memory, reader.max_sequence_length(), reader.max_tokens(), reader.context(), reader.planted()) {
  microbatches.reserve(reader.max_microbatches());
}

StepReader::StepReader(const LoaderOptions& options)
    : data_rank_(options.data_rank),
      data_ranks_(options.data_ranks),
      microbatch_sequences_(options.microbatch_sequences),
      context_(options.context),
      planted_(options.planted),
      planner_(options) {
  DROVER_CHECK(data_rank_ >= 0 && data_rank_ < data_ranks_, "data rank ", data_rank_, " of ", data_ranks_);
  for (const Phase& phase : sampler().phases())
    require_context_length(phase.sequence_length, context_.ranks, "sequence_length");
}

// That this context rank holds.
std::int64_t StepReader::tokens_of(std::int64_t rows, const Phase& phase) const {
  return rows * phase.sequence_length / context_.ranks;
}

std::int64_t StepReader::max_tokens() const {
  return largest(sampler().phases(),
                 [&](const Phase& phase) { return tokens_of(rows_of_rank(phase, data_ranks_), phase); });
}

std::int64_t StepReader::max_microbatches() const {
  return largest(sampler().phases(), [&](const Phase& phase) {
    return microbatches_of(phase.rows(), data_ranks_, microbatch_sequences_);
  });
}

std::int64_t StepReader::max_microbatch_tokens() const {
  return largest(sampler().phases(), [&](const Phase& phase) {
    return tokens_of(std::min<std::int64_t>(microbatch_sequences_, rows_of_rank(phase, data_ranks_)), phase);
  });
}

// Ranks get the same number of rows, or one more; so do a rank's microbatches (data/order/assignment.h).
std::vector<std::int64_t> StepReader::microbatch_sizes() const {
  std::set<std::int64_t> sizes;
  for (const Phase& phase : sampler().phases()) {
    const std::int64_t microbatches = microbatches_of(phase.rows(), data_ranks_, microbatch_sequences_);
    for (const std::int64_t of_rank : {phase.rows() / data_ranks_, rows_of_rank(phase, data_ranks_)})
      for (const std::int64_t rows : {of_rank / microbatches, (of_rank + microbatches - 1) / microbatches})
        if (rows > 0) sizes.insert(tokens_of(rows, phase));
  }
  return {sizes.begin(), sizes.end()};
}

void StepReader::read(const SamplerState& state, StepBuffer& out) {
  planner_.plan(state);
  const StepRows& rows = planner_.rows();
  out.after = rows.after;
  out.batch = {.step = state.step,
               .sequence_length = rows.sequence_length,
               .batch_tokens = rows.sequence_length * static_cast<std::int64_t>(rows.rows.size()),
               .step_attended_pairs = planner_.total_pairs()};
  out.tokens.clear();
  out.microbatches.clear();
  const RowAssigner& assigned = planner_.assigned();
  for (std::int64_t i = 0; i < assigned.microbatches(); ++i) {
    const bool drops =
        i > 0 && i + 1 == assigned.microbatches() && injects(planted_, Bug::last_microbatch_dropped);
    append_microbatch(drops ? std::span<const std::int32_t>() : assigned.rows_of(data_rank_, i), out);
  }
  out.batch.microbatches = out.microbatches;
}

void StepReader::append_microbatch(std::span<const std::int32_t> rows, StepBuffer& out) {
  for (const std::int32_t row : rows)
    out.tokens.append_row(planner_.source_of(row), planner_.documents_of(row),
                          planner_.rows().sequence_length);
  out.microbatches.push_back(out.tokens.finish_microbatch());
  out.batch.valid_targets += out.microbatches.back().valid_targets;
  out.batch.attended_pairs += attended_pairs(out.microbatches.back().segments);
}

}  // namespace drover
