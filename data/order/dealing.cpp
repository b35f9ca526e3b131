#include "data/order/dealing.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace drover {

void order_by_weight(std::span<const std::int64_t> weights, std::vector<std::int32_t>& items) {
  items.resize(weights.size());
  std::iota(items.begin(), items.end(), 0);
  std::sort(items.begin(), items.end(), [&](std::int32_t a, std::int32_t b) {
    return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
  });
}

void Dealer::reserve(std::int64_t bins, std::int64_t items) {
  counts_.reserve(bins);
  next_.reserve(bins);
  lightest_.reserve(items / bins + 1);
}

void Dealer::deal(std::span<const std::int64_t> weights, std::span<const std::int32_t> items,
                  std::span<std::int64_t> loads, std::span<std::int64_t> bin_of) {
  start(weights, items, loads);
  for (const std::int32_t item : items) {
    const std::int64_t bin = take_bin();
    bin_of[item] = bin;
    loads[bin] += weights[item];
    put_back(bin, loads[bin]);
  }
}

void Dealer::start(std::span<const std::int64_t> weights, std::span<const std::int32_t> items,
                   std::span<const std::int64_t> loads) {
  const auto bins = static_cast<std::int64_t>(loads.size()), count = static_cast<std::int64_t>(items.size());
  share_ = count / bins;
  one_more_ = count % bins;
  lightest_.assign(1, 0);
  for (std::int64_t i = 0; i < share_; ++i)
    lightest_.push_back(lightest_.back() + weights[items[count - 1 - i]]);
  counts_.assign(bins, 0);
  next_.clear();
  for (std::int64_t bin = 0; bin < bins; ++bin) next_.emplace_back(loads[bin] + least_to_come(0), bin);
  std::make_heap(next_.begin(), next_.end(), std::greater<>());
}

// What a bin that has taken `count` items will at least take after its next one.
std::int64_t Dealer::least_to_come(std::int64_t count) const {
  return lightest_[std::max<std::int64_t>(share_ - 1 - count, 0)];
}

// A full bin stays full and leaves the heap for good.
std::int64_t Dealer::take_bin() {
  std::int64_t bin = -1;
  do {
    std::pop_heap(next_.begin(), next_.end(), std::greater<>());
    bin = next_.back().second;
    next_.pop_back();
  } while (counts_[bin] > share_ || (counts_[bin] == share_ && one_more_ == 0));
  if (counts_[bin] == share_) --one_more_;
  return bin;
}

void Dealer::put_back(std::int64_t bin, std::int64_t load) {
  ++counts_[bin];
  next_.emplace_back(load + least_to_come(counts_[bin]), bin);
  std::push_heap(next_.begin(), next_.end(), std::greater<>());
}

}  // namespace drover
