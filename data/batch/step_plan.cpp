#include "data/batch/step_plan.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "data/batch/segments.h"

namespace drover {
namespace {

std::vector<std::unique_ptr<Feed>> open_feeds(const LoaderOptions& options) {
  std::vector<std::unique_ptr<Feed>> feeds;
  for (const TokenSource* source : options.sources)
    feeds.push_back(std::make_unique<Feed>(*source, options.feed));
  return feeds;
}

}  // namespace

StepPlanner::StepPlanner(const LoaderOptions& options)
    : sampler_(options.phases),
      feeds_(open_feeds(options)),
      assigner_(options.data_ranks, options.microbatch_sequences) {
  DROVER_CHECK(static_cast<int>(feeds_.size()) == sampler_.sources(), feeds_.size(), " sources, weights for ",
               sampler_.sources());
  std::int64_t most_rows = 0;
  for (const Phase& phase : sampler_.phases()) most_rows = std::max(most_rows, phase.rows());
  rows_.rows.reserve(most_rows);
  pairs_.reserve(most_rows);
  documents_.reserve(max_sequence_length());
}

std::int64_t StepPlanner::max_sequence_length() const {
  std::int64_t longest = 0;
  for (const Phase& phase : sampler_.phases()) longest = std::max(longest, phase.sequence_length);
  return longest;
}

void StepPlanner::plan(const SamplerState& state) {
  sampler_.rows_of_step(state, rows_);
  pairs_.clear();
  for (std::size_t row = 0; row < rows_.rows.size(); ++row)
    pairs_.push_back(attended_pairs(documents_of(static_cast<std::int64_t>(row))));
  assigner_.assign(pairs_);
}

std::int64_t StepPlanner::total_pairs() const {
  return std::accumulate(pairs_.begin(), pairs_.end(), std::int64_t{0});
}

const TokenSource& StepPlanner::source_of(std::int64_t row) const {
  return feeds_[rows_.rows[row].source]->source();
}

std::span<const Piece> StepPlanner::documents_of(std::int64_t row) {
  const RowAddress& address = rows_.rows[row];
  documents_.clear();
  feeds_[address.source]->append_pieces(address.position, rows_.sequence_length, documents_);
  return documents_;
}

}  // namespace drover
