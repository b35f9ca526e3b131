#include "data/order/mixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "core/base/error.h"

namespace drover {
namespace {

constexpr std::int64_t kMaxPeriod = 1 << 24;

void check_weights(std::span<const double> weights) {
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!std::isfinite(weights[i]) || weights[i] < 0) {
      throw usage_error("weight ", weights[i], " of source ", i, " must be a number that is at least 0");
    }
    sum += weights[i];
  }
  if (!std::isfinite(sum) || sum <= 0)
    throw usage_error("the weights of ", weights.size(), " sources sum to ", sum,
                      "; at least one must be above 0");
}

// The weights times `scale` in lowest terms, where that makes integers of them that are small enough.
std::optional<std::vector<std::int64_t>> exact_shares(std::span<const double> weights, double scale) {
  std::vector<std::int64_t> shares;
  std::int64_t divisor = 0;
  for (const double weight : weights) {
    const double scaled = weight * scale;
    if (scaled > 9e15 || std::abs(scaled - std::round(scaled)) > 1e-12 * scaled) return std::nullopt;
    shares.push_back(std::llround(scaled));
    divisor = std::gcd(divisor, shares.back());
  }
  double sum = 0;
  for (std::int64_t& share : shares) sum += static_cast<double>(share /= divisor);
  if (sum > static_cast<double>(kMaxPeriod)) return std::nullopt;
  return shares;
}

// By largest remainders, so that the sum is kMaxPeriod and each share its exact value rounded down or up
// (A. Hamilton's method of apportionment).
std::vector<std::int64_t> rounded_shares(std::span<const double> weights) {
  double largest = 0, sum = 0;
  for (const double weight : weights) largest = std::max(largest, weight);
  for (const double weight : weights) sum += weight / largest;  // in units of the largest: no overflow
  std::vector<std::int64_t> shares;
  std::vector<std::pair<double, std::size_t>> cut_off;  // (minus the remainder, source)
  for (const double weight : weights) {
    const double exact = weight / largest / sum * static_cast<double>(kMaxPeriod);
    shares.push_back(weight > 0 ? std::max<std::int64_t>(1, static_cast<std::int64_t>(exact)) : 0);
    cut_off.emplace_back(static_cast<double>(shares.back()) - exact, cut_off.size());
  }
  std::sort(cut_off.begin(), cut_off.end());
  std::int64_t left = kMaxPeriod - std::accumulate(shares.begin(), shares.end(), std::int64_t{0});
  for (std::size_t i = 0; left > 0; ++i, --left) ++shares[cut_off[i].second];
  *std::max_element(shares.begin(), shares.end()) += left;  // below 0 where many were raised to 1
  return shares;
}

std::vector<std::int64_t> integer_shares(std::span<const double> weights) {
  check_weights(weights);
  double scale = 1;
  for (int digits = 0; digits <= 9; ++digits, scale *= 10) {
    if (auto shares = exact_shares(weights, scale)) return *std::move(shares);
  }
  return rounded_shares(weights);
}

}  // namespace

Mixture::Mixture(std::span<const double> weights)
    : shares_(integer_shares(weights)),
      period_(std::accumulate(shares_.begin(), shares_.end(), std::int64_t{0})) {}

int Mixture::next(std::span<const std::int64_t> counts) const {
  DROVER_CHECK(counts.size() == shares_.size(), counts.size(), " counts of ", shares_.size(), " sources");
  const std::int64_t rows = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  const std::int64_t periods = rows / period_, row = rows % period_;
  int chosen = -1;
  std::int64_t earliest = 0;
  for (int i = 0; i < sources(); ++i) {
    const std::int64_t had = counts[i] - periods * shares_[i];
    const bool due = had * period_ < (row + 1) * shares_[i];
    if (!due) continue;
    const std::int64_t deadline = ((had + 1) * period_ + shares_[i] - 1) / shares_[i];
    if (chosen < 0 || deadline < earliest) {
      chosen = i;
      earliest = deadline;
    }
  }
  DROVER_CHECK(chosen >= 0, "no source is due at row ", rows);
  return chosen;
}

std::vector<std::int64_t> Mixture::counts_before(std::int64_t rows) const {
  std::vector<std::int64_t> counts(shares_.size(), 0);
  for (std::int64_t row = 0; row < rows % period_; ++row) ++counts[next(counts)];
  for (int i = 0; i < sources(); ++i) counts[i] += rows / period_ * shares_[i];
  return counts;
}

}  // namespace drover
