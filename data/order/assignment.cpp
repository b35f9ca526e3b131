#include "data/order/assignment.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"

namespace drover {

std::int64_t microbatches_of(std::int64_t rows, int data_ranks, int microbatch_sequences) {
  const std::int64_t slots = std::int64_t{data_ranks} * microbatch_sequences;
  return (rows + slots - 1) / slots;
}

RowAssigner::RowAssigner(int data_ranks, int microbatch_sequences)
    : data_ranks_(data_ranks), microbatch_sequences_(microbatch_sequences) {
  DROVER_CHECK(data_ranks >= 1 && microbatch_sequences >= 1, data_ranks, " data ranks, ",
               microbatch_sequences, " sequences in a microbatch");
}

std::span<const std::int32_t> RowAssigner::Groups::of(std::int64_t bin) const {
  return std::span(rows).subspan(starts[bin], starts[bin + 1] - starts[bin]);
}

std::span<const std::int32_t> RowAssigner::rows_of(int data_rank, std::int64_t microbatch) const {
  DROVER_CHECK(data_rank >= 0 && data_rank < data_ranks_ && microbatch >= 0 && microbatch < microbatches_,
               "microbatch ", microbatch, " of ", microbatches_, ", rank ", data_rank, " of ", data_ranks_);
  return by_microbatch_.of(data_rank * microbatches_ + microbatch);
}

void RowAssigner::assign(std::span<const std::int64_t> pairs) {
  microbatches_ =
      microbatches_of(static_cast<std::int64_t>(pairs.size()), data_ranks_, microbatch_sequences_);
  bin_of_row_.resize(pairs.size());
  order_by_weight(pairs, order_);
  loads_.assign(data_ranks_, 0);
  dealer_.deal(pairs, order_, loads_, bin_of_row_);
  group(data_ranks_, by_rank_);
  for (int rank = 0; rank < data_ranks_; ++rank) deal_to_microbatches(rank, pairs);
  std::iota(order_.begin(), order_.end(), 0);  // so that a microbatch's rows increase
  group(data_ranks_ * microbatches_, by_microbatch_);
}

void RowAssigner::deal_to_microbatches(int rank, std::span<const std::int64_t> pairs) {
  const auto rows = by_rank_.of(rank);
  if (rows.empty()) return;
  loads_.assign(microbatches_, 0);
  dealer_.deal(pairs, rows, loads_, bin_of_row_);
  for (const std::int32_t row : rows) bin_of_row_[row] += rank * microbatches_;
}

// A stable counting sort of order_ by bin.
void RowAssigner::group(std::int64_t bins, Groups& groups) {
  groups.starts.assign(bins + 1, 0);
  groups.rows.resize(order_.size());
  for (const std::int32_t row : order_) ++groups.starts[bin_of_row_[row] + 1];
  std::partial_sum(groups.starts.begin(), groups.starts.end(), groups.starts.begin());
  for (const std::int32_t row : order_) groups.rows[groups.starts[bin_of_row_[row]]++] = row;
  // Placing moved every start to its successor's.
  std::rotate(groups.starts.begin(), groups.starts.end() - 1, groups.starts.end());
  groups.starts.front() = 0;
}

}  // namespace drover
