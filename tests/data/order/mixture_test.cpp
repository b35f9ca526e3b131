#include "data/order/mixture.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

using Weights = std::vector<double>;

// The largest distance of any source from its exact share after any of the first `rows` rows.
double worst_error(const Weights& weights, std::int64_t rows) {
  const Mixture mixture(weights);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::int64_t> counts(weights.size(), 0);
  double worst = 0;
  for (std::int64_t row = 1; row <= rows; ++row) {
    ++counts[mixture.next(counts)];
    for (std::size_t i = 0; i < weights.size(); ++i) {
      worst = std::max(
          worst, std::abs(static_cast<double>(counts[i]) - static_cast<double>(row) * (weights[i] / sum)));
    }
  }
  return worst;
}

TEST_CASE("after any number of rows every source is within one row of its share") {
  CHECK(worst_error({1.0}, 100) < 1e-9);
  CHECK(worst_error({0.7, 0.3}, 20000) < 1);
  CHECK(worst_error({1, 1, 1}, 20000) < 1);
  CHECK(worst_error({0.9, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01}, 20000) < 1);
  CHECK(worst_error({0.5, 0.25, 0.125, 0.0625, 0.0625}, 20000) < 1);
  CHECK(worst_error({1e-6, 1}, 20000) < 1);
  CHECK(worst_error({3.14159265358979, 2.71828182845905, 1.41421356237310, 0.57721566490153}, 20000) < 1);
  std::mt19937 random(7);
  for (int i = 0; i < 30; ++i) {
    Weights weights(2 + random() % 12);
    for (double& weight : weights) weight = static_cast<double>(1 + random() % 1000) / 1000;
    CHECK(worst_error(weights, 3000) < 1);
  }
}

TEST_CASE("decimal weights are met exactly") {
  CHECK(Mixture(Weights{0.7, 0.3}).counts_before(1000) == std::vector<std::int64_t>{700, 300});
  CHECK(Mixture(Weights{0.7, 0.3}).period() == 10);
  CHECK(Mixture(Weights{12.5, 37.5}).period() == 4);
  CHECK(Mixture(Weights{1e12, 3e12}).period() == 4);
  CHECK(Mixture(Weights{0.1, 0.2, 0.000001}).counts_before(300001) ==
        std::vector<std::int64_t>{100000, 200000, 1});
}

TEST_CASE("a million million rows later nothing has drifted") {
  const std::int64_t rows = 1'000'000'000'007;
  const Mixture mixture(Weights{0.7, 0.3});
  std::vector<std::int64_t> counts = mixture.counts_before(rows);
  CHECK(counts[0] + counts[1] == rows);
  for (std::int64_t row = rows; row < rows + 100; ++row) {
    CHECK(std::abs(10 * counts[0] - 7 * row) < 10);
    ++counts[mixture.next(counts)];
  }
}

TEST_CASE("counts before a row are those of dealing every row before it") {
  const Mixture mixture(Weights{0.5, 0.3, 0.2, 0.07});
  std::vector<std::int64_t> counts(4, 0);
  for (std::int64_t row = 0; row < 1000; ++row) {
    REQUIRE(mixture.counts_before(row) == counts);
    ++counts[mixture.next(counts)];
  }
}

// The largest distance of a share from its weight's, in parts of the period.
double worst_rounding(const Weights& weights) {
  const Mixture mixture(weights);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  const auto period = static_cast<double>(mixture.period());
  double worst = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(mixture.shares()[i]) / period - weights[i] / sum));
  }
  return worst;
}

TEST_CASE("weights that are no short decimals are met to less than 2^-24 each") {
  const double bound = 1 / static_cast<double>(1 << 24);
  CHECK(worst_rounding({std::sqrt(2.0), std::sqrt(3.0), 1e-12}) < bound);
  std::mt19937_64 random(11);
  for (int i = 0; i < 200; ++i) {
    Weights weights(2 + random() % 60);
    for (double& weight : weights) weight = std::sqrt(static_cast<double>(1 + random() % 100000));
    REQUIRE(worst_rounding(weights) < bound);
    REQUIRE(Mixture(weights).period() == 1 << 24);
  }
}

TEST_CASE("weights too small for the period keep one row of it each, at the largest one's expense") {
  Weights weights(100, 1e-13);
  weights[40] = std::sqrt(2.0);
  weights[41] = std::sqrt(3.0);
  const Mixture mixture(weights);
  CHECK(mixture.period() == 1 << 24);
  CHECK(std::count(mixture.shares().begin(), mixture.shares().end(), 1) == 98);
  const double share = std::sqrt(2.0) / (std::sqrt(2.0) + std::sqrt(3.0)) * (1 << 24);
  CHECK(std::abs(static_cast<double>(mixture.shares()[40]) - share) < 1);
}

TEST_CASE("a source of weight 0 gets no row") {
  CHECK(Mixture(Weights{0, 1, 0, 3}).counts_before(1000) == std::vector<std::int64_t>{0, 250, 0, 750});
}

TEST_CASE("weights that mean nothing are refused") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(Mixture(Weights{}), Error);
  CHECK_THROWS_AS(Mixture(Weights{0, 0}), Error);
  CHECK_THROWS_AS(Mixture(Weights{1, -0.5}), Error);
  CHECK_THROWS_AS(Mixture(Weights{1, infinity}), Error);
  CHECK_THROWS_AS(Mixture(Weights{1, std::nan("")}), Error);
}

}  // namespace
}  // namespace drover
