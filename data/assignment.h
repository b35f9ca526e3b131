// Who computes which row: the rows of a step dealt to (data rank, microbatch), balanced by attended pairs.
//
// Every data rank has M = ceil(rows / (data_ranks x microbatch_sequences)) microbatches. Ranks' row counts
// differ by at most one, and so do the row counts of one rank's microbatches, so a microbatch may hold fewer
// rows than microbatch_sequences, or none; no rank has more than ceil(rows / data_ranks) rows. Any number of
// ranks takes any number of rows. Row costs are dealt largest first to the least loaded rank with room, then
// improved by swaps between the most loaded rank and others; microbatches of a rank likewise. A pure function
// of the costs: every rank computes the same answer, ties go to the lower number. O(rows x log rows +
// data_ranks) and a bounded number of swaps.
//
// Thread rules: one thread at a time; the answer lives until the next assign().
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace drover {

class RowAssigner {
 public:
  RowAssigner(int data_ranks, int microbatch_sequences);

  // pairs[r]: attended pairs of row r. No allocation once it has seen as many rows.
  void assign(std::span<const std::int64_t> pairs);

  int microbatches() const { return microbatches_; }  // M, the same for every rank
  // Row numbers of one microbatch, increasing; empty for a slot beyond the rows.
  std::span<const std::int32_t> rows_of(int data_rank, int microbatch) const;
  std::int64_t pairs_of(int data_rank) const { return loads_[data_rank]; }

 private:
  int data_ranks_, microbatch_sequences_;
  int microbatches_ = 0;
  std::vector<std::int64_t> loads_;  // per rank
};

}  // namespace drover
