// When two runs are the same, on runs made by hand.
#include "train/verify_compare.h"

#include <cmath>

#include "tests/support/test_support.h"
#include "train/verify.h"

using namespace drover;

namespace {

// Two steps of a model with two parameters.
RunRecord example() {
  RunRecord run;
  run.steps = {{.step = 1, .loss = 4, .grad_norm = 2, .lr = 0.1},
               {.step = 2, .loss = 3, .grad_norm = 1, .lr = 0.1}};
  run.gradients = {{{"a", {3, 4}}, {"b", {1, 0}}}, {{"a", {1, 1}}, {"b", {2, 0}}}};
  run.weights = {{"a", {1, 2}}, {"b", {5, 5}}};
  return run;
}

std::vector<Breach> judged(const RunRecord& run, DType dtype, const RunRecord* exact = nullptr) {
  const Tolerance tolerance = tolerance_of(dtype);
  return breaches(run, compare(run, example(), tolerance.measure, exact), tolerance);
}

void check_only(const std::vector<Breach>& breaches, const char* text, const char* parameter) {
  REQUIRE(breaches.size() == 1);
  CHECK(breaches[0].text.starts_with(text));
  CHECK(breaches[0].parameter == parameter);
}

StateEntry entry(Box box, double* data) {
  return {.name = "a",
          .slot = "weight",
          .dtype = DType::float64,
          .shape = {2, 2},
          .box = box,
          .data = Tensor::of(data, {box.numel()})};
}

}  // namespace

TEST_CASE("relative is the larger of the ratio of norms and the ratio of maxima, of the worst parameter") {
  const Parameters reference{{"a", {3, 4}}, {"b", {100, 0}}};
  const Distance d = distance({{"a", {3, 4.4}}, {"b", {101, 0}}}, reference);
  CHECK(d.parameter == "a");
  CHECK(d.value == Approx(0.1));  // 0.4 / 4 is more than 0.4 / 5
  CHECK(distance({{"a", {3, 4.4}}, {"b", {101, 0}}}, reference, Measure::norm).value == Approx(0.08));
}

TEST_CASE("an element that nobody owns, or that is not a number, is no small difference") {
  const Parameters reference{{"a", {3, 4}}, {"b", {1, 1}}};
  const Distance d = distance({{"a", {3, std::nan("")}}, {"b", {9, 1}}}, reference);
  CHECK(d.parameter == "a");
  CHECK(std::isnan(d.value));
}

TEST_CASE("where the reference is zero only zero is equal") {
  CHECK(distance({{"a", {0, 0}}}, {{"a", {0, 0}}}).value == 0);
  CHECK(std::isinf(distance({{"a", {0, 1e-30}}}, {{"a", {0, 0}}}).value));
}

TEST_CASE("a run equal to the reference breaks nothing, in any dtype") {
  const RunRecord exact = example();
  CHECK(judged(example(), DType::float64).empty());
  CHECK(judged(example(), DType::float32).empty());
  CHECK(judged(example(), DType::bfloat16, &exact).empty());
}

TEST_CASE("float64 judges loss, every step's gradients, weights and the gradient norm within 1e-9") {
  RunRecord run = example();
  run.steps[1].loss *= 1 + 2e-9;
  check_only(judged(run, DType::float64), "loss differs", "");
  run = example();
  run.gradients[1]["b"][0] *= 1 + 2e-9;
  check_only(judged(run, DType::float64), "gradient of b", "b");
  run = example();
  run.gradients[0]["a"][1] *= 1 + 2e-9;
  CHECK(judged(run, DType::float64).size() == 2);  // as the first, and as the largest of all steps
  run = example();
  run.weights["a"][0] += 4e-9;
  check_only(judged(run, DType::float64), "weight after the last step of a", "a");
  run = example();
  run.steps[0].grad_norm *= 1 + 2e-9;
  check_only(judged(run, DType::float64), "gradient norm", "");
  run = example();
  run.steps[0].grad_norm *= 1 + 1e-10;
  CHECK(judged(run, DType::float64).empty());
}

TEST_CASE("float32 judges the first step's gradients within 1e-5 and weights within 1e-4") {
  RunRecord run = example();
  run.gradients[1]["a"][0] *= 2;  // of a later step: shown, not judged
  run.weights["a"][0] *= 1 + 5e-5;
  CHECK(judged(run, DType::float32).empty());
  run.weights["a"][1] *= 1 + 2e-4;
  check_only(judged(run, DType::float32), "weight after the last step of a", "a");
  run = example();
  run.gradients[0]["b"][0] *= 1 + 2e-5;
  check_only(judged(run, DType::float32), "first gradient of b", "b");
}

TEST_CASE("bfloat16 judges the first step's gradients in norm, and their distance to float64") {
  RunRecord exact = example();
  exact.gradients[0]["a"][1] = 4.1;  // the reference is off by 0.1
  RunRecord run = example();
  run.gradients[0]["a"][1] = 3.96;  // off by 0.14
  CHECK(judged(run, DType::bfloat16, &exact).empty());
  run.gradients[0]["a"][1] = 3.94;  // off by 0.16
  check_only(judged(run, DType::bfloat16, &exact), "first gradient's distance to float64", "a");
  run = example();
  run.gradients[0]["b"][0] = 1.06;
  exact.gradients[0]["b"][0] = 1.03;
  check_only(judged(run, DType::bfloat16, &exact), "first gradient of b", "b");
}

TEST_CASE("ranks that hold different values of one element fail, whatever the values are") {
  double one[] = {1, 2}, other[] = {3, 4}, again[] = {3, 5};
  Parameters whole;
  const std::vector<StateEntry> top{entry({{0, 0}, {1, 2}}, one)}, bottom{entry({{1, 0}, {1, 2}}, other)},
      copy{entry({{1, 0}, {1, 2}}, again)};
  CHECK(place(top, "weight", whole).empty());
  CHECK(place(bottom, "weight", whole).empty());
  CHECK(place(bottom, "weight", whole).empty());
  CHECK(place(bottom, "moment1", whole).empty());
  CHECK(place(copy, "weight", whole) == "a");
  CHECK(whole["a"] == std::vector<double>{1, 2, 3, 4});
  RunRecord run = example();
  run.unequal_copies = {"gradient in step 1 of a"};
  check_only(judged(run, DType::float64), "ranks hold different values", "a");
}

namespace {

// A model of one block whose parameters all move and have gradients.
struct Subject {
  Config config;
  RunRecord run = example();
  Subject() {
    config.model = {.hidden_size = 4,
                    .num_hidden_layers = 1,
                    .num_attention_heads = 1,
                    .num_key_value_heads = 1,
                    .intermediate_size = 4,
                    .vocab_size = 5};
    for (const ParameterLayout& parameter : parameter_table(config.model, 1)) {
      const auto n = static_cast<std::size_t>(parameter.numel());
      run.gradients[0][parameter.name].assign(n, 1);
      run.initial[parameter.name].assign(n, 1);
      run.weights[parameter.name].assign(n, 0.5);
    }
  }
  std::vector<std::string> why() const { return trivialities(run, config); }
};

}  // namespace

TEST_CASE("a subject that proves nothing is named: no fall of the loss, no gradient, decay alone") {
  CHECK(Subject().why().empty());
  Subject flat;
  flat.run.steps[1].loss = 4;
  REQUIRE(flat.why().size() == 1);
  CHECK(flat.why()[0].starts_with("the loss does not fall"));
  Subject dead;
  dead.run.gradients[0]["model.norm.weight"].assign(4, 0);
  CHECK(dead.why() == std::vector<std::string>{"model.norm.weight has no gradient"});
  Subject decayed;
  const double decay = decayed.config.optimizer.weight_decay;
  decayed.run.weights["lm_head.weight"].assign(20, (1 - 0.1 * decay) * (1 - 0.1 * decay));
  CHECK(decayed.why() ==
        std::vector<std::string>{"lm_head.weight ends where weight decay alone would have brought it"});
  Subject still;
  still.run.weights["model.norm.weight"].assign(4, 1);  // which does not decay
  CHECK(still.why().size() == 1);
}

TEST_CASE("the exit code says whether all agree, or whether the planted bug was caught everywhere") {
  CHECK(exit_of({.passed = 3, .refused = 1}, false, false) == Exit::done);
  CHECK(exit_of({.passed = 3, .failed = 1}, false, false) == Exit::internal);
  CHECK(exit_of({.refused = 4}, false, false) == Exit::usage);
  CHECK(exit_of({.passed = 3}, true, false) == Exit::usage);
  CHECK(exit_of({.failed = 2, .caught = 2}, false, true) == Exit::done);
  CHECK(exit_of({.passed = 1, .failed = 2, .caught = 2}, false, true) == Exit::internal);
  CHECK(exit_of({.failed = 2, .caught = 1}, false, true) == Exit::internal);
}
