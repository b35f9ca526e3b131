// Who computes which row: the rows of a step dealt to (data rank, microbatch), balanced by attended pairs.
//
// Every data rank has M = ceil(rows / (data_ranks x microbatch_sequences)) microbatches. Ranks' row counts
// differ by at most one, and so do the row counts of one rank's microbatches: a microbatch may hold fewer
// rows than microbatch_sequences, or none. Any number of ranks takes any number of rows. Rows are dealt to
// ranks by data/order/dealing.h, a rank's rows to its microbatches likewise. A pure function of the pairs, so every
// rank computes the same answer. O(rows x log rows + data_ranks).
//
// With equal row counts no dealing can do better than max(mean, largest row + the smallest rows that must
// join it); for long-tailed documents in long rows that bound alone is well above the mean
// (tests/data/order/assignment_test.cpp states it).
//
// Thread rules: one thread at a time; the answer lives until the next assign().
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/order/dealing.h"

namespace drover {

// M of the formula above.
std::int64_t microbatches_of(std::int64_t rows, int data_ranks, int microbatch_sequences);

class RowAssigner {
 public:
  RowAssigner(int data_ranks, int microbatch_sequences);

  // pairs[r]: attended pairs of row r. No allocation once it has seen as many rows.
  void assign(std::span<const std::int64_t> pairs);

  std::int64_t microbatches() const { return microbatches_; }
  // Row numbers of one microbatch, increasing; none for a slot beyond the rows.
  std::span<const std::int32_t> rows_of(int data_rank, std::int64_t microbatch) const;

 private:
  // Rows grouped by bin: those of bin b are rows[starts[b] .. starts[b + 1]).
  struct Groups {
    std::vector<std::int32_t> rows;
    std::vector<std::int64_t> starts;

    std::span<const std::int32_t> of(std::int64_t bin) const;
  };

  void deal_to_microbatches(int rank, std::span<const std::int64_t> pairs);
  void group(std::int64_t bins, Groups& groups);

  int data_ranks_, microbatch_sequences_;
  std::int64_t microbatches_ = 0;
  std::vector<std::int32_t> order_;       // of rows, as the next grouping wants them
  std::vector<std::int64_t> bin_of_row_;  // rank, then rank x M + microbatch
  std::vector<std::int64_t> loads_;       // workspace: per bin of one deal
  Dealer dealer_;
  Groups by_rank_, by_microbatch_;
};

}  // namespace drover
