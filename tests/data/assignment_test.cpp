#include "data/assignment.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <numeric>
#include <random>
#include <set>

#include "tests/support/test_support.h"

namespace drover {
namespace {

// Attended pairs of rows of T tokens of log-normal documents (median 400, sigma 1.5, clipped at T), as a feed
// cuts them.
class Rows {
 public:
  Rows(std::int64_t length, unsigned seed) : length_(length), random_(seed) {}

  std::vector<std::int64_t> pairs(int rows) {
    std::vector<std::int64_t> pairs(rows, 0);
    for (std::int64_t& row : pairs) row = next_row();
    return pairs;
  }

 private:
  std::int64_t next_row() {
    std::int64_t pairs = 0;
    for (std::int64_t left = length_; left > 0;) {
      if (document_left_ == 0) document_left_ = document();
      const std::int64_t piece = std::min(left, document_left_);
      pairs += piece * (piece + 1) / 2;
      left -= piece;
      document_left_ -= piece;
    }
    return pairs;
  }
  std::int64_t document() {
    const double drawn = std::round(400 * std::exp(1.5 * normal_(random_)));
    return static_cast<std::int64_t>(std::clamp(drawn, 1.0, static_cast<double>(length_)));
  }

  std::int64_t length_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  std::int64_t document_left_ = 0;
};

std::vector<std::int64_t> rank_sums(const RowAssigner& assigner, const std::vector<std::int64_t>& pairs,
                                    int ranks) {
  std::vector<std::int64_t> sums(ranks, 0);
  for (int rank = 0; rank < ranks; ++rank) {
    for (std::int64_t i = 0; i < assigner.microbatches(); ++i) {
      for (const std::int32_t row : assigner.rows_of(rank, i)) sums[rank] += pairs[row];
    }
  }
  return sums;
}

// Max over mean of 8 ranks' sums, 8 rows each; and the same for the best that any dealing of 8 rows each
// could do: the largest row with the 7 smallest, if that is above the mean.
struct Balance {
  double reached, bound;
};

Balance balance_of(const std::vector<std::int64_t>& pairs) {
  RowAssigner assigner(8, 1);
  assigner.assign(pairs);
  const std::vector<std::int64_t> sums = rank_sums(assigner, pairs, 8);
  const double mean = static_cast<double>(std::accumulate(sums.begin(), sums.end(), std::int64_t{0})) / 8;
  std::vector<std::int64_t> sorted = pairs;
  std::sort(sorted.begin(), sorted.end());
  const std::int64_t heaviest =
      sorted.back() + std::accumulate(sorted.begin(), sorted.begin() + 7, std::int64_t{0});
  const double most = static_cast<double>(*std::max_element(sums.begin(), sums.end()));
  return {most / mean, std::max(1.0, static_cast<double>(heaviest) / mean)};
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

TEST_CASE("8 rows on each of 8 ranks are balanced to 5 percent, or as far as 8 rows each can be") {
  for (const std::int64_t length : {8192, 131072}) {
    Rows rows(length, 11);
    std::vector<double> reached, bounds, over_bound;
    for (int batch = 0; batch < 100; ++batch) {
      const Balance balance = balance_of(rows.pairs(64));
      reached.push_back(balance.reached);
      bounds.push_back(balance.bound);
      over_bound.push_back(balance.reached / balance.bound);
    }
    std::cout << "T " << length << ": median max/mean " << median(reached) << ", best possible at least "
              << median(bounds) << ", over the best " << median(over_bound) << '\n';
    if (length == 8192) CHECK(median(reached) <= 1.05);
    CHECK(median(over_bound) <= 1.01);
    CHECK(*std::max_element(over_bound.begin(), over_bound.end()) <= 1.10);
  }
}

TEST_CASE("every row is computed exactly once, and empty slots are spread evenly") {
  Rows source(64, 3);
  for (const int ranks : {1, 2, 3, 5, 8, 16}) {
    for (const int sequences : {1, 2, 3, 4}) {
      RowAssigner assigner(ranks, sequences);
      for (int rows = 1; rows <= 40; ++rows) {
        assigner.assign(source.pairs(rows));
        REQUIRE(assigner.microbatches() == (rows + ranks * sequences - 1) / (ranks * sequences));
        std::vector<int> seen(rows, 0);
        std::size_t fewest = rows, most = 0;
        for (int rank = 0; rank < ranks; ++rank) {
          std::size_t of_rank = 0, fewest_here = rows, most_here = 0;
          for (std::int64_t i = 0; i < assigner.microbatches(); ++i) {
            const auto microbatch = assigner.rows_of(rank, i);
            REQUIRE(std::is_sorted(microbatch.begin(), microbatch.end()));
            for (const std::int32_t row : microbatch) ++seen.at(row);
            of_rank += microbatch.size();
            fewest_here = std::min(fewest_here, microbatch.size());
            most_here = std::max(most_here, microbatch.size());
          }
          REQUIRE(most_here <= static_cast<std::size_t>(sequences));
          REQUIRE(most_here - fewest_here <= 1);
          fewest = std::min(fewest, of_rank);
          most = std::max(most, of_rank);
        }
        REQUIRE(most - fewest <= 1);
        REQUIRE(std::count(seen.begin(), seen.end(), 1) == rows);
      }
    }
  }
}

TEST_CASE("the microbatches of a rank are balanced too") {
  Rows source(8192, 5);
  const std::vector<std::int64_t> pairs = source.pairs(64);
  RowAssigner assigner(1, 8);
  assigner.assign(pairs);
  std::vector<std::int64_t> sums;
  for (std::int64_t i = 0; i < assigner.microbatches(); ++i) {
    sums.push_back(0);
    for (const std::int32_t row : assigner.rows_of(0, i)) sums.back() += pairs[row];
  }
  const double mean = static_cast<double>(std::accumulate(sums.begin(), sums.end(), std::int64_t{0})) / 8;
  CHECK(static_cast<double>(*std::max_element(sums.begin(), sums.end())) < 1.05 * mean);
}

TEST_CASE("ties go to the lower number, and an assigner has no memory") {
  RowAssigner assigner(2, 2), used(2, 2);
  used.assign(std::vector<std::int64_t>{9, 8, 7, 1, 1, 1});
  for (RowAssigner* each : {&assigner, &used}) {
    each->assign(std::vector<std::int64_t>{5, 5, 5, 5});
    REQUIRE(each->microbatches() == 1);
    CHECK(std::ranges::equal(each->rows_of(0, 0), std::vector<int>{0, 1}));
    CHECK(std::ranges::equal(each->rows_of(1, 0), std::vector<int>{2, 3}));
  }
}

TEST_CASE("131072 data ranks share 2048 rows") {
  Rows source(512, 6);
  RowAssigner assigner(131072, 1);
  assigner.assign(source.pairs(2048));
  REQUIRE(assigner.microbatches() == 1);
  std::set<int> rows;
  for (int rank = 0; rank < 131072; ++rank) {
    for (const std::int32_t row : assigner.rows_of(rank, 0)) rows.insert(row);
  }
  CHECK(rows.size() == 2048);
}

}  // namespace
}  // namespace drover
