#include "tests/core/ops/op_fixture.h"

using namespace drover;
using namespace drover::test;

namespace {

struct Size {
  std::int64_t rows, dim, gap;
};
const std::vector<Size> kSizes = {{0, 8, 0}, {1, 1, 0}, {3, 17, 5}, {70, 64, 0}, {200, 96, 3}, {5, 4100, 0}};

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

std::vector<double> norm_factors(const std::vector<double>& h, Size s, double epsilon) {
  std::vector<double> rstd;
  for (std::int64_t i = 0; i < s.rows; ++i) {
    double squares = 0;
    for (std::int64_t d = 0; d < s.dim; ++d) squares += h[at(i * s.dim + d)] * h[at(i * s.dim + d)];
    rstd.push_back(1 / std::sqrt(squares / static_cast<double>(s.dim) + epsilon));
  }
  return rstd;
}

Array array_of_factors(const Array& h, Size s, double epsilon) {
  return Array::of(master_dtype(h.tensor.dtype), {s.rows}, norm_factors(h.values(), s, epsilon));
}

}  // namespace

TEST_CASE("rmsnorm divides rows by their root mean square and multiplies by the weight") {
  for_each_case([](Machine& machine, DType compute) {
    for (Size s : kSizes) {
      CAPTURE(s.rows, s.dim, s.gap);
      const Array x = Array::random(compute, {s.rows, s.dim}, 1, s.gap),
                  weight = Array::random(compute, {s.dim}, 2);
      Array y(compute, {s.rows, s.dim}, s.gap), rstd(master_dtype(compute), {s.rows});
      ops::rmsnorm_forward(machine.exec, {.x = x, .weight = weight, .epsilon = 0.01, .y = y, .rstd = rstd});
      const std::vector<double> factors = norm_factors(x.values(), s, 0.01);
      CHECK(relative_error(rstd, factors) <= tolerance(master_dtype(compute)));
      std::vector<double> expected = x.values();
      for (std::int64_t i = 0; i < y.size(); ++i)
        expected[at(i)] *= factors[at(i / s.dim)] * weight.get(i % s.dim);
      CHECK(relative_error(y, expected) <= tolerance(compute));
      CHECK(y.gaps_untouched());
    }
  });
}

TEST_CASE("rmsnorm of a sum writes the sum and normalises what it wrote") {
  for_each_case([](Machine& machine, DType compute) {
    for (Size s : kSizes) {
      CAPTURE(s.rows, s.dim, s.gap);
      Array x = Array::random(compute, {s.rows, s.dim}, 1, s.gap);
      const Array delta = Array::random(compute, {s.rows, s.dim}, 2),
                  weight = Array::random(compute, {s.dim}, 3);
      std::vector<double> sum = x.values();
      for (std::int64_t i = 0; i < x.size(); ++i) sum[at(i)] += delta.get(i);
      Array y(compute, {s.rows, s.dim}), rstd(master_dtype(compute), {s.rows});
      ops::rmsnorm_forward(
          machine.exec,  // in place: h is x
          {.x = x, .delta = delta, .weight = weight, .epsilon = 1e-5, .h = x, .y = y, .rstd = rstd});
      CHECK(relative_error(x, sum) <= tolerance(compute));
      const std::vector<double> factors = norm_factors(x.values(), s, 1e-5);
      CHECK(relative_error(rstd, factors) <= tolerance(master_dtype(compute)));
      std::vector<double> expected = x.values();
      for (std::int64_t i = 0; i < y.size(); ++i)
        expected[at(i)] *= factors[at(i / s.dim)] * weight.get(i % s.dim);
      CHECK(relative_error(y, expected) <= tolerance(compute));
      CHECK(x.gaps_untouched());
    }
  });
}

TEST_CASE("rmsnorm's input gradient adds to the residual's, in place if asked") {
  for_each_case([](Machine& machine, DType compute) {
    for (Size s : kSizes) {
      CAPTURE(s.rows, s.dim, s.gap);
      const Array dy = Array::random(compute, {s.rows, s.dim}, 1, s.gap),
                  h = Array::random(compute, {s.rows, s.dim}, 2, s.gap);
      const Array weight = Array::random(compute, {s.dim}, 3), rstd = array_of_factors(h, s, 1e-5);
      Array residual = Array::random(compute, {s.rows, s.dim}, 4), dh(compute, {s.rows, s.dim}, s.gap);
      std::vector<double> alone(at(h.size()));
      double terms = 0;  // the largest: with one column their difference nearly vanishes
      for (std::int64_t i = 0; i < s.rows; ++i) {
        double mean = 0;
        for (std::int64_t d = 0; d < s.dim; ++d)
          mean += dy.get(i * s.dim + d) * weight.get(d) * h.get(i * s.dim + d) / static_cast<double>(s.dim);
        for (std::int64_t d = 0; d < s.dim; ++d) {
          const double g = dy.get(i * s.dim + d) * weight.get(d);
          alone[at(i * s.dim + d)] =
              rstd.get(i) * (g - h.get(i * s.dim + d) * rstd.get(i) * rstd.get(i) * mean);
          terms = std::max(terms, std::abs(rstd.get(i) * g));
        }
      }
      std::vector<double> together = residual.values();
      for (std::size_t i = 0; i < together.size(); ++i) together[i] += alone[i];
      ops::rmsnorm_backward_input(machine.exec, {.dy = dy, .h = h, .weight = weight, .rstd = rstd, .dh = dh});
      ops::rmsnorm_backward_input(
          machine.exec,
          {.dy = dy, .h = h, .weight = weight, .rstd = rstd, .dresidual = residual, .dh = residual});
      CHECK(largest_difference(dh.values(), alone) <= 2 * tolerance(compute) * terms);
      CHECK(relative_error(residual, together) <= 2 * tolerance(compute));
      CHECK(dh.gaps_untouched());
    }
  });
}

TEST_CASE("rmsnorm's weight gradient adds up over rows") {
  for_each_case([](Machine& machine, DType compute) {
    for (Size s : kSizes) {
      CAPTURE(s.rows, s.dim, s.gap);
      const Array dy = Array::random(compute, {s.rows, s.dim}, 1, s.gap),
                  h = Array::random(compute, {s.rows, s.dim}, 2, s.gap);
      const Array rstd = array_of_factors(h, s, 1e-5);
      Array dweight = Array::random(master_dtype(compute), {s.dim}, 3);
      std::vector<double> expected = dweight.values();
      for (std::int64_t i = 0; i < h.size(); ++i)
        expected[at(i % s.dim)] += dy.get(i) * h.get(i) * rstd.get(i / s.dim);
      ops::rmsnorm_backward_weight(machine.exec, {.dy = dy, .h = h, .rstd = rstd, .dweight = dweight});
      CHECK(relative_error(dweight, expected) <= 4 * tolerance(master_dtype(compute)));
    }
  });
}
