// Weights dealt to bins: as many to each bin, give or take one, and the bins' sums as even as that allows.
//
// Heaviest first, each to the bin with room that would end with the least if all its further items were the
// lightest there are; ties go to the lower bin. A pure function. O(items x log bins + bins).
//
// Thread rules: one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace drover {

class Dealer {
 public:
  void reserve(std::int64_t bins, std::int64_t items);
  // items: indexes into weights, heaviest first. loads: per bin, what it holds before; what is dealt is added.
  // Sets bin_of[item]. No allocation within what was reserved or seen.
  void deal(std::span<const std::int64_t> weights, std::span<const std::int32_t> items,
            std::span<std::int64_t> loads, std::span<std::int64_t> bin_of);

 private:
  using Entry = std::pair<std::int64_t, std::int64_t>;  // least load at the end, bin

  void start(std::span<const std::int64_t> weights, std::span<const std::int32_t> items,
             std::span<const std::int64_t> loads);
  std::int64_t take_bin();
  void put_back(std::int64_t bin, std::int64_t load);
  std::int64_t least_to_come(std::int64_t count) const;

  std::int64_t share_ = 0;              // items of every bin
  std::int64_t one_more_ = 0;           // bins that still may take one more
  std::vector<std::int64_t> counts_;    // per bin
  std::vector<std::int64_t> lightest_;  // sums of the i lightest items
  std::vector<Entry> next_;             // heap
};

// Fills `items` with 0 .. weights.size() - 1, heaviest first, ties in order.
void order_by_weight(std::span<const std::int64_t> weights, std::vector<std::int32_t>& items);

}  // namespace drover
