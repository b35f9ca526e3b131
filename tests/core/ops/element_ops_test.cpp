// Copies, the optimizer and reductions against their formulas in core/ops/backend.h.
#include "tests/core/ops/op_fixture.h"

using namespace drover;
using namespace drover::test;

namespace {

constexpr std::int64_t kCounts[] = {0, 1, 7, 64, 1003};

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

}  // namespace

TEST_CASE("fill writes one value into rows and not between them") {
  for_each_case([](Machine& machine, DType compute) {
    for (const DType dtype : {compute, DType::int64, DType::int32, DType::uint8})
      for (const std::int64_t rows : kCounts) {
        Array out(dtype, {rows, 5}, 3);
        ops::fill(machine.exec, {.out = out, .value = 3});
        CHECK(out.values() == std::vector<double>(at(5 * rows), 3.0));
        CHECK(out.gaps_untouched());
      }
  });
}

TEST_CASE("copy converts between any two floating dtypes, and adds in the result's") {
  for_each_case([](Machine& machine, DType from) {
    for (const DType to : {DType::float64, DType::float32, DType::bfloat16})
      for (const std::int64_t rows : kCounts)
        for (const std::int64_t gap : {0, 3}) {
          CAPTURE(name_of(to), rows, gap);
          const Array in = Array::random(from, {rows, 5}, 1, gap);
          Array copied(to, {rows, 5}, gap), added = Array::random(to, {rows, 5}, 2), rounded(to, {rows, 5});
          std::vector<double> sum = added.values();
          for (std::int64_t i = 0; i < in.size(); ++i) {
            rounded.set(i, in.get(i));
            sum[at(i)] += in.get(i);
          }
          ops::copy(machine.exec, {.in = in, .out = copied});
          ops::copy(machine.exec, {.in = in, .out = added, .write = Write::add});
          CHECK(copied.values() == rounded.values());
          CHECK(copied.gaps_untouched());
          CHECK(relative_error(added, sum) <= tolerance(to));
        }
  });
}

TEST_CASE("scale multiplies every element once") {
  for_each_case([](Machine& machine, DType compute) {
    for (const std::int64_t count : kCounts) {
      Array x = Array::random(master_dtype(compute), {count}, 1);
      std::vector<double> expected = x.values();
      for (double& value : expected) value *= 0.3;
      ops::scale(machine.exec, {.x = x, .factor = 0.3});
      CHECK(relative_error(x, expected) <= tolerance(master_dtype(compute)));
    }
  });
}

TEST_CASE("three AdamW steps follow the algorithm, with decay apart from the moments") {
  for_each_case([](Machine& machine, DType compute) {
    const DType master = master_dtype(compute);
    for (const std::int64_t n : kCounts) {
      Array weight = Array::random(master, {n}, 1), moment1(master, {n}), moment2(master, {n}),
            working(compute, {n});
      std::vector<double> w = weight.values(), m(at(n)), v(at(n));
      for (std::int64_t step = 1; step <= 3; ++step) {
        const Array gradient = Array::random(master, {n}, 10 + static_cast<std::uint64_t>(step));
        const AdamW update{.weight = weight,
                           .moment1 = moment1,
                           .moment2 = moment2,
                           .gradient = gradient,
                           .working = working,
                           .lr = 0.1,
                           .beta1 = 0.9,
                           .beta2 = 0.99,
                           .epsilon = 1e-3,
                           .weight_decay = 0.2,
                           .step = step,
                           .gradient_scale = 0.5};
        ops::adamw(machine.exec, update);
        const double t = static_cast<double>(step);
        for (std::size_t i = 0; i < w.size(); ++i) {
          const double g = 0.5 * gradient.get(static_cast<std::int64_t>(i));
          m[i] = 0.9 * m[i] + 0.1 * g;
          v[i] = 0.99 * v[i] + 0.01 * g * g;
          const double denominator = std::sqrt(v[i] / (1 - std::pow(0.99, t))) + 1e-3;
          w[i] = w[i] * (1 - 0.1 * 0.2) - 0.1 * m[i] / (1 - std::pow(0.9, t)) / denominator;
        }
      }
      const double allowed = 4 * tolerance(master);
      CHECK(relative_error(weight, w) <= allowed);
      CHECK(relative_error(moment1, m) <= allowed);
      CHECK(relative_error(moment2, v) <= allowed);
      CHECK(relative_error(working, weight.values()) <= (compute == master ? 0 : tolerance(compute)));
    }
  });
}

TEST_CASE("sum of squares adds to what is there, in float64") {
  for_each_case([](Machine& machine, DType compute) {
    for (const std::int64_t n : {0, 1, 7, 64, 1003, 200'003}) {
      const Array x = Array::random(master_dtype(compute), {n}, 1);
      Array out = Array::of(DType::float64, {1}, {5});
      double expected = 5;
      for (const double value : x.values()) expected += value * value;
      ops::sum_of_squares(machine.exec, {.x = x, .out = out});
      CHECK(out.get(0) == Approx(expected).epsilon(1e-13));
    }
  });
}

TEST_CASE("combine reduces in the order of its parts and rounds once, also into some of them") {
  for_each_case([](Machine& machine, DType compute) {
    for (const std::int64_t n : kCounts) {
      Array a = Array::random(compute, {n}, 1);
      const Array b = Array::random(compute, {n}, 2), c = Array::random(compute, {n}, 3);
      std::vector<double> largest, smallest;
      Array sum(compute, {n});
      for (std::int64_t i = 0; i < n; ++i) {
        const double exact = (a.get(i) + b.get(i)) + c.get(i);
        const float wide =
            (static_cast<float>(a.get(i)) + static_cast<float>(b.get(i))) + static_cast<float>(c.get(i));
        sum.set(i, compute == DType::float64 ? exact : static_cast<double>(wide));
        largest.push_back(std::max({a.get(i), b.get(i), c.get(i)}));
        smallest.push_back(std::min({a.get(i), b.get(i), c.get(i)}));
      }
      const Tensor parts[] = {a, b, c};
      Array out(compute, {n});
      ops::combine(machine.exec, {.reduction = Reduction::max, .parts = parts, .out = out});
      CHECK(out.values() == largest);
      ops::combine(machine.exec, {.reduction = Reduction::min, .parts = parts, .out = out});
      CHECK(out.values() == smallest);
      Array d = Array::random(compute, {n}, 4);
      const Tensor copies[] = {b, d};
      ops::combine(machine.exec, {.parts = parts, .out = a, .copies = copies});
      for (const Array* result : std::initializer_list<const Array*>{&a, &b, &d})
        CHECK(result->values() == sum.values());
    }
  });
}

TEST_CASE("combine of counts is exact") {
  Machine machine;
  const Array a = Array::of(DType::int64, {2}, {1LL << 52, -3}), b = Array::of(DType::int64, {2}, {1, 5});
  const Tensor parts[] = {a, b};
  Array out(DType::int64, {2});
  ops::combine(machine.exec, {.parts = parts, .out = out});
  CHECK(out.values() == std::vector<double>{(1LL << 52) + 1, 2});
  Array copy(DType::int64, {2});
  const Tensor copies[] = {copy};
  ops::combine(machine.exec, {.reduction = Reduction::min, .parts = parts, .out = out, .copies = copies});
  for (const Array* result : {&out, &copy}) CHECK(result->values() == std::vector<double>{1, -3});
}

TEST_CASE("a part that is not a number stays one in a maximum and a minimum") {
  for_each_case([](Machine& machine, DType compute) {
    const Array a = Array::of(compute, {3}, {1, std::nan(""), 2}),
                b = Array::of(compute, {3}, {std::nan(""), 0, 3});
    const Tensor parts[] = {a, b};
    for (const Reduction reduction : {Reduction::max, Reduction::min}) {
      Array out(compute, {3});
      ops::combine(machine.exec, {.reduction = reduction, .parts = parts, .out = out});
      CHECK(std::isnan(out.get(0)));
      CHECK(std::isnan(out.get(1)));
      CHECK(out.get(2) == (reduction == Reduction::max ? 3 : 2));
    }
  });
}
