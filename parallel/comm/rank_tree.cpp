#include "parallel/comm/rank_tree.h"

namespace drover {

void each_binomial_child(int place, int size, FunctionRef<void(int child)> visit) {
  const int lowest_bit = place & -place;
  for (int step = 1; (place == 0 || step < lowest_bit) && place + step < size; step *= 2) visit(place + step);
}

void RankTree::each_hop(FunctionRef<void(const Hop&)> visit) const {
  each_hop_up(visit);
  if (rank_ > 0) visit({kFromParent, false, binomial_parent(rank_), 0, size_});
  each_binomial_child(rank_, size_, [&](int child) { visit({kToChildren, true, child, 0, size_}); });
}

void RankTree::each_hop_up(FunctionRef<void(const Hop&)> visit) const {
  if (!first_of_section())
    return visit({kToFirstOfSection, true, rank_ / kSection * kSection, rank_, rank_ + 1});
  for (int member = rank_ + 1; member < section_end(rank_); ++member)
    visit({kToFirstOfSection, false, member, member, member + 1});
  if (rank_ > 0) return visit({kToRankZero, true, 0, rank_, section_end(rank_)});
  for (int first = kSection; first < size_; first += kSection)
    visit({kToRankZero, false, first, first, section_end(first)});
}

}  // namespace drover
