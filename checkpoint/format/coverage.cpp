#include "checkpoint/format/coverage.h"

namespace drover {
namespace {

// A prime: sizes and distances are products of small factors, often of two alone, and modulo 2^64 a box moved
// by 2^36 elements in a tensor of 2^46 would leave the sums as they are.
constexpr std::uint64_t kPrime = (std::uint64_t{1} << 61) - 1;

std::uint64_t sum(std::uint64_t a, std::uint64_t b) { return (a + b) % kPrime; }
std::uint64_t difference(std::uint64_t a, std::uint64_t b) { return (a + kPrime - b) % kPrime; }
template <class... Factors>
std::uint64_t product(Factors... factors) {
  unsigned __int128 result = 1;
  ((result = result * (factors % kPrime) % kPrime), ...);
  return static_cast<std::uint64_t>(result);
}

// Sums over [0, n) of i and of i^2. The factors are divided before they are multiplied, where the division is
// exact.
std::uint64_t sum_below(std::uint64_t n) {
  return n % 2 == 0 ? product(n / 2, n - 1) : product((n - 1) / 2, n);
}

std::uint64_t squares_below(std::uint64_t n) {
  if (n == 0) return 0;
  std::array<std::uint64_t, 3> factors{n - 1, n, 2 * n - 1};
  for (const std::uint64_t divisor : {2, 3}) {
    for (std::uint64_t& factor : factors) {
      if (factor % divisor != 0) continue;
      factor /= divisor;
      break;
    }
  }
  return product(factors[0], factors[1], factors[2]);
}

// Of the numbers in a range: how many they are, their sum and the sum of their squares.
struct PowerSums {
  std::uint64_t count, sum, squares;
};
PowerSums power_sums(std::int64_t begin, std::int64_t extent) {
  const auto from = static_cast<std::uint64_t>(begin), to = from + static_cast<std::uint64_t>(extent);
  return {to - from, difference(sum_below(to), sum_below(from)),
          difference(squares_below(to), squares_below(from))};
}

}  // namespace

// The index of (row, column) is row * C + column, so both sums separate into sums over rows and columns.
void Coverage::add(const Box& box, std::int64_t tensor_columns) {
  const PowerSums rows = power_sums(box.offset[0], box.extent[0]),
                  columns = power_sums(box.offset[1], box.extent[1]);
  const auto width = static_cast<std::uint64_t>(tensor_columns);
  Coverage more;
  more.sums_[0] = product(rows.count, columns.count);
  more.sums_[1] = sum(product(width, rows.sum, columns.count), product(rows.count, columns.sum));
  more.sums_[2] = sum(sum(product(width, width, rows.squares, columns.count),
                          product(std::uint64_t{2}, width, rows.sum, columns.sum)),
                      product(rows.count, columns.squares));
  add(more);
}

void Coverage::add(const Coverage& other) {
  for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] = sum(sums_[i], other.sums_[i]);
}

Coverage Coverage::of_sums(const std::array<std::uint64_t, 3>& sums) {
  Coverage coverage;
  coverage.sums_ = sums;
  return coverage;
}

}  // namespace drover
