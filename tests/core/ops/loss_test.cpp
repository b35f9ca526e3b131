#include "tests/core/ops/op_fixture.h"

using namespace drover;
using namespace drover::test;

namespace {

struct Problem {
  std::int64_t rows, vocabulary;
  Array logits, targets;

  Problem(DType master, std::int64_t rows_, std::int64_t vocabulary_, double spread)
      : rows(rows_),
        vocabulary(vocabulary_),
        logits(Array::random(master, {rows_, vocabulary_}, 5, 3)),
        targets(DType::int32, {rows_}) {
    for (std::int64_t i = 0; i < logits.size(); ++i) logits.set(i, logits.get(i) * spread);
    Numbers numbers(6);
    for (std::int64_t i = 0; i < rows; ++i)
      targets.set(i, i % 4 == 1 ? -1 : static_cast<double>(numbers.below(vocabulary)));
  }

  double lse(std::int64_t row) const {
    double maximum = -1e300, sum = 0;
    for (std::int64_t v = 0; v < vocabulary; ++v)
      maximum = std::max(maximum, logits.get(row * vocabulary + v));
    for (std::int64_t v = 0; v < vocabulary; ++v) sum += std::exp(logits.get(row * vocabulary + v) - maximum);
    return maximum + std::log(sum);
  }
  double loss() const {
    double total = 0;
    for (std::int64_t i = 0; i < rows; ++i)
      if (targets.get(i) >= 0)
        total += lse(i) - logits.get(i * vocabulary + static_cast<std::int64_t>(targets.get(i)));
    return total;
  }
};

struct Outcome {
  Array lse, loss;
};

// The three verbs over a vocabulary cut into `parts`.
Outcome run_parts(Machine& machine, const Problem& p, std::int64_t parts) {
  const DType master = p.logits.tensor.dtype;
  Array maximum(master, {parts, p.rows}), sum(master, {parts, p.rows}), hit(master, {parts, p.rows});
  Outcome outcome{Array(master, {p.rows}), Array::of(DType::float64, {1}, {100})};
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t begin = p.vocabulary * part / parts, end = p.vocabulary * (part + 1) / parts;
    const auto row = [&](const Array& x) { return x.tensor.slice(0, part, part + 1).view({p.rows}); };
    ops::loss_statistics(machine.exec, {.logits = p.logits.tensor.slice(1, begin, end),
                                        .targets = p.targets,
                                        .first_token = begin,
                                        .maximum = row(maximum),
                                        .sum = row(sum),
                                        .target_logit = row(hit)});
  }
  ops::loss_combine(machine.exec, {.maximum = maximum,
                                   .sum = sum,
                                   .target_logit = hit,
                                   .targets = p.targets,
                                   .lse = outcome.lse,
                                   .loss = outcome.loss});
  return outcome;
}

}  // namespace

TEST_CASE(
    "the loss is the sum over rows with a target of lse minus the target's logit, in any number of parts") {
  for_each_case([](Machine& machine, DType compute) {
    const DType master = master_dtype(compute);
    for (std::int64_t rows : {0, 1, 5, 600})
      for (std::int64_t parts : {1, 2, 5}) {
        const Problem p(master, rows, 123, rows == 5 ? 80 : 3);
        const Outcome outcome = run_parts(machine, p, parts);
        CAPTURE(rows, parts);
        CHECK(outcome.loss.get(0) == Approx(100 + p.loss()).epsilon(master == DType::float64 ? 1e-14 : 1e-6));
        for (std::int64_t i = 0; i < rows; i += 7)
          CHECK(outcome.lse.get(i) == Approx(p.lse(i)).epsilon(tolerance(master)));
      }
  });
}

TEST_CASE("a large vocabulary loses nothing in the sum of exponentials") {
  for_each_case([](Machine& machine, DType compute) {
    const Problem p(master_dtype(compute), 3, 40000, 1);
    CHECK(run_parts(machine, p, 1).lse.get(0) ==
          Approx(p.lse(0)).epsilon(tolerance(master_dtype(compute)) / 4));
  });
}

TEST_CASE(
    "the gradient of the logits is softmax minus one at the target, zero without target, in place where "
    "dtypes agree") {
  for_each_case([](Machine& machine, DType compute) {
    const DType master = master_dtype(compute);
    Problem p(master, 9, 123, 4);
    const Outcome outcome = run_parts(machine, p, 1);
    std::vector<double> expected;
    for (std::int64_t i = 0; i < p.logits.size(); ++i) {
      const std::int64_t row = i / 123, target = static_cast<std::int64_t>(p.targets.get(row));
      const double probability = std::exp(p.logits.get(i) - p.lse(row));
      expected.push_back(target < 0 ? 0 : probability - (i % 123 == target ? 1 : 0));
    }
    Array apart(compute, {9, 123}, 2);
    ops::loss_gradient(machine.exec,
                       {.logits = p.logits, .targets = p.targets, .lse = outcome.lse, .dlogits = apart});
    CHECK(relative_error(apart, expected) <= 4 * tolerance(compute));
    CHECK(apart.gaps_untouched());
    if (compute != master) return;
    ops::loss_gradient(machine.exec,
                       {.logits = p.logits, .targets = p.targets, .lse = outcome.lse, .dlogits = p.logits});
    CHECK(p.logits.values() == apart.values());
  });
}

TEST_CASE("a part of the vocabulary without the target only has probabilities") {
  Machine machine;
  const Problem p(DType::float64, 8, 50, 2);
  const Outcome outcome = run_parts(machine, p, 1);
  Array low(DType::float64, {8, 20}), high(DType::float64, {8, 30}), whole(DType::float64, {8, 50});
  const auto gradient = [&](std::int64_t begin, std::int64_t end, const Array& out) {
    ops::loss_gradient(machine.exec, {.logits = p.logits.tensor.slice(1, begin, end),
                                      .targets = p.targets,
                                      .lse = outcome.lse,
                                      .first_token = begin,
                                      .dlogits = out});
  };
  gradient(0, 20, low);
  gradient(20, 50, high);
  gradient(0, 50, whole);
  for (std::int64_t i = 0; i < 8; ++i)
    for (std::int64_t v = 0; v < 50; ++v)
      CHECK(whole.get(i * 50 + v) == (v < 20 ? low.get(i * 20 + v) : high.get(i * 30 + v - 20)));
}

TEST_CASE("a logit that is not a number makes the loss not a number") {
  for_each_case([](Machine& machine, DType compute) {
    for (std::int64_t place : {0, 60, 122}) {
      Problem p(master_dtype(compute), 3, 123, 1);
      p.logits.set(2 * 123 + place, std::nan(""));
      CHECK(std::isnan(run_parts(machine, p, 1).loss.get(0)));
    }
  });
}
