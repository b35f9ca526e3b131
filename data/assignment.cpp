#include "data/assignment.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "core/error.h"

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
  sort_by_pairs(pairs);
  deal(pairs, order_, data_ranks_, 0);
  group(data_ranks_, by_rank_);
  for (int rank = 0; rank < data_ranks_; ++rank) {
    const auto rows = by_rank_.of(rank);
    if (!rows.empty()) deal(pairs, rows, microbatches_, rank * microbatches_);
  }
  std::iota(order_.begin(), order_.end(), 0);  // so that a microbatch's rows increase
  group(data_ranks_ * microbatches_, by_microbatch_);
}

void RowAssigner::sort_by_pairs(std::span<const std::int64_t> pairs) {
  order_.resize(pairs.size());
  std::iota(order_.begin(), order_.end(), 0);
  std::sort(order_.begin(), order_.end(), [&](std::int32_t a, std::int32_t b) {
    return pairs[a] != pairs[b] ? pairs[a] > pairs[b] : a < b;
  });
}

// `rows` come largest first. Sets bin_of_row_ of each to first_bin + its bin.
void RowAssigner::deal(std::span<const std::int64_t> pairs, std::span<const std::int32_t> rows,
                       std::int64_t bins, std::int64_t first_bin) {
  const std::int64_t share = static_cast<std::int64_t>(rows.size()) / bins;
  std::int64_t one_more =
      static_cast<std::int64_t>(rows.size()) % bins;  // bins that still may take share + 1
  smallest_.assign(1, 0);
  for (std::int64_t i = 0; i < share; ++i)
    smallest_.push_back(smallest_.back() + pairs[rows[rows.size() - 1 - i]]);
  bins_.assign(bins, Bin{});
  next_bins_.clear();
  // Equal keys in increasing order are a heap already.
  for (std::int64_t bin = 0; bin < bins; ++bin)
    next_bins_.emplace_back(smallest_[std::max<std::int64_t>(share - 1, 0)], bin);
  for (const std::int32_t row : rows) {
    std::int64_t bin = -1;
    do {  // a full bin stays full and leaves the heap for good
      std::pop_heap(next_bins_.begin(), next_bins_.end(), std::greater<>());
      bin = next_bins_.back().second;
      next_bins_.pop_back();
    } while (bins_[bin].count > share || (bins_[bin].count == share && one_more == 0));
    if (bins_[bin].count == share) --one_more;
    bins_[bin].load += pairs[row];
    ++bins_[bin].count;
    bin_of_row_[row] = first_bin + bin;
    const std::int64_t to_come = std::max<std::int64_t>(share - 1 - bins_[bin].count, 0);
    next_bins_.emplace_back(bins_[bin].load + smallest_[to_come], bin);
    std::push_heap(next_bins_.begin(), next_bins_.end(), std::greater<>());
  }
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
