#include "data/order/assignment.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "tests/data/order/lognormal_rows.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

TEST_CASE("every row is computed exactly once, and empty slots are spread evenly") {
  LognormalRows source(64, 3);
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
  LognormalRows source(8192, 5);
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
  LognormalRows source(512, 6);
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
