// Which source each row comes from: exact apportionment of rows to weights.
//
// Weights become integers once (see shares); from there on everything is integer arithmetic, so nothing
// drifts. Row r goes to the source whose next row has the earliest deadline among those whose next row is
// due; then after any number r of rows, source i has had strictly between r x share - 1 and r x share + 1
// rows, at most one row from its exact share. (S. Baruah et al.: Proportionate progress: a notion of fairness
// in resource allocation, Algorithmica 15, 1996; R. Tijdeman: The chairman assignment problem, 1980.)
//
// Thread rules: immutable after construction.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace drover {

class Mixture {
 public:
  // weights >= 0 and finite, not all 0; Error{usage} otherwise.
  explicit Mixture(std::span<const double> weights);

  int sources() const { return static_cast<int>(shares_.size()); }
  // Integers in the ratio of the weights. Decimal weights as people write them (0.7, 0.3 or 12.5) are met
  // exactly; when that would need a sum above 2^24, the ratio is rounded to exactly that sum: every share is
  // then less than 2^-24 (6e-8) of the whole off. A positive weight keeps at least 1; what weights too small
  // for that have too much, the largest has too little.
  std::span<const std::int64_t> shares() const { return shares_; }
  std::int64_t period() const { return period_; }  // sum of shares: the pattern repeats

  // The source of the row that follows `counts`, where counts[i] rows of source i have been dealt in the
  // phase so far (their sum is the row's number). O(sources).
  int next(std::span<const std::int64_t> counts) const;
  // Rows of each source among the first `rows` of a phase: a pure function of `rows`. O(sources x min(rows,
  // period)): for resuming.
  std::vector<std::int64_t> counts_before(std::int64_t rows) const;

 private:
  std::vector<std::int64_t> shares_;
  std::int64_t period_ = 0;
};

}  // namespace drover
