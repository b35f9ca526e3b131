// Whether boxes cover a tensor exactly once, in constant memory and in any order.
#pragma once

#include <array>
#include <cstdint>

#include "parallel/mesh/layout.h"

namespace drover {

// The number of elements of the boxes added, and the sums of their row-major indices and of the squares of
// those, modulo the prime 2^61 - 1. Two covers of the same tensor agree in all three; a box that is missing,
// doubled or moved changes at least one. (Not proof against boxes contrived to cancel out.)
class Coverage {
 public:
  void add(const Box& box, std::int64_t tensor_columns);
  void add(const Coverage& other);
  std::int64_t elements() const { return static_cast<std::int64_t>(sums_[0]); }
  bool operator==(const Coverage&) const = default;

  // As three numbers, to be sent.
  const std::array<std::uint64_t, 3>& sums() const { return sums_; }
  static Coverage of_sums(const std::array<std::uint64_t, 3>& sums);

 private:
  std::array<std::uint64_t, 3> sums_{0, 0, 0};
};

}  // namespace drover
