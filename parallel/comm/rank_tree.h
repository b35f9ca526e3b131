// How small messages of a group of many ranks travel, so that none of 16,384 has more than some hundreds: up the sections
// of ranks in which reductions add (OrderedReduction), from a section's ranks to its first and from these to rank 0; and
// down again along a binomial tree.
#pragma once

#include <algorithm>

#include "core/base/function_ref.h"
#include "parallel/comm/collective.h"

namespace drover {

// Counted from the root, place p > 0 has the parent p without its lowest set bit, and p the children p + 1, p + 2,
// p + 4 ... below that bit.
inline int binomial_parent(int place) { return place & (place - 1); }
void each_binomial_child(int place, int size, FunctionRef<void(int child)> visit);

class RankTree {
 public:
  RankTree(int rank, int size) : rank_(rank), size_(size) {}

  static constexpr int kSection = OrderedReduction::kSection;
  // Stages come one after the other; what a rank sends in one it has by the one before.
  enum Stage : std::uint8_t { kToFirstOfSection, kToRankZero, kFromParent, kToChildren };
  struct Hop {
    Stage stage;
    bool sends;
    int peer;
    int begin, end;  // the ranks whose parts travel
  };
  // A rank's hops, a stage at a time.
  void each_hop(FunctionRef<void(const Hop&)> visit) const;

  bool first_of_section() const { return rank_ % kSection == 0; }
  // Ranks of the section that this rank is the first of; 1 for other ranks.
  int section_size() const { return first_of_section() ? section_end(rank_) - rank_ : 1; }
  int sections() const { return (size_ + kSection - 1) / kSection; }

 private:
  int section_end(int first) const { return std::min(first + kSection, size_); }
  void each_hop_up(FunctionRef<void(const Hop&)> visit) const;

  int rank_, size_;
};

}  // namespace drover
