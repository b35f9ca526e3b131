#include "parallel/comm/rank_tree.h"

namespace drover {

void each_binomial_child(int place, int size, FunctionRef<void(int child)> visit) {
  const int lowest_bit = place & -place;
  for (int step = 1; (place == 0 || step < lowest_bit) && place + step < size; step *= 2) visit(place + step);
}

void RunTree::each_hop(FunctionRef<void(const Hop&)> visit) const {
  each_hop_up(visit);
  if (rank_ > 0) visit({kFromParent, false, binomial_parent(rank_), 0, size_});
  each_binomial_child(rank_, size_, [&](int child) { visit({kToChildren, true, child, 0, size_}); });
}

void RunTree::each_hop_up(FunctionRef<void(const Hop&)> visit) const {
  if (!first_of_run()) return visit({kToFirstOfRun, true, rank_ / kRun * kRun, rank_, rank_ + 1});
  for (int member = rank_ + 1; member < run_end(rank_); ++member)
    visit({kToFirstOfRun, false, member, member, member + 1});
  if (rank_ > 0) return visit({kToRankZero, true, 0, rank_, run_end(rank_)});
  for (int first = kRun; first < size_; first += kRun)
    visit({kToRankZero, false, first, first, run_end(first)});
}

}  // namespace drover
