// A hash table from pairs of token ids to a small value: open addressing, at most half full, no erasure. BPE
// spends its time in it, and node-based maps cost a cache miss more for each look-up. Thread rules: const
// functions from any threads at once.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace drover {

inline std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return std::uint64_t(std::uint32_t(left)) << 32 | std::uint32_t(right);
}

template <class Value>
class PairTable {
 public:
  explicit PairTable(std::size_t expected = 8) { resize(std::bit_ceil(2 * expected + 2)); }

  std::size_t size() const { return size_; }

  const Value* find(std::uint64_t key) const {
    const Slot& slot = slots_[place(key)];
    return slot.key == key ? &slot.value : nullptr;
  }

  // The value of `key`, made from `initial` if absent. Valid until the next call.
  Value& at_or_add(std::uint64_t key, Value initial = {}) {
    std::size_t at = place(key);
    if (slots_[at].key == key) return slots_[at].value;
    if (2 * (size_ + 1) > slots_.size()) {
      resize(2 * slots_.size());
      at = place(key);
    }
    ++size_;
    slots_[at] = {key, initial};
    return slots_[at].value;
  }

 private:
  static constexpr std::uint64_t kNone = ~std::uint64_t(0);  // no id is negative
  struct Slot {
    std::uint64_t key = kNone;
    Value value{};
  };

  // Where `key` is, or the free slot where it would be.
  std::size_t place(std::uint64_t key) const {
    std::size_t at = std::size_t((key * 0x9E3779B97F4A7C15u) >> shift_);
    while (slots_[at].key != key && slots_[at].key != kNone) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  void resize(std::size_t slots) {
    std::vector<Slot> old(slots);
    old.swap(slots_);
    shift_ = 64 - std::countr_zero(slots);
    for (const Slot& slot : old) {
      if (slot.key != kNone) slots_[place(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
  int shift_ = 0;
};

}  // namespace drover
