#include "train/verify_compare.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace drover {

namespace {

// An update moves a weight by about lr, decay alone by lr x weight_decay x |w|; rounding by 1e-7 at most.
constexpr double kMoved = 1e-6;

double element(const Tensor& flat, std::int64_t i) {
  return flat.dtype == DType::float64 ? flat.as<double>()[i] : static_cast<double>(flat.as<float>()[i]);
}

// False when another value was there.
bool put(double& element, double value) {
  if (std::isnan(element)) element = value;
  return element == value;
}

double ratio(double difference, double reference) {
  if (difference == 0) return 0;
  return reference > 0 ? difference / reference : std::numeric_limits<double>::infinity();
}

double distance(const std::vector<double>& a, const std::vector<double>& b, Measure measure) {
  double squares = 0, reference = 0, maximum = 0, largest = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    const double difference = a[i] - b[i];
    squares += difference * difference;
    reference += b[i] * b[i];
    maximum = std::max(maximum, std::abs(difference));
    largest = std::max(largest, std::abs(b[i]));
  }
  if (std::isnan(squares)) return squares;
  const double norm = ratio(std::sqrt(squares), std::sqrt(reference));
  return measure == Measure::norm ? norm : std::max(norm, ratio(maximum, largest));
}

double norm(const std::vector<double>& x) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  return std::sqrt(squares);
}

// NaN counts as larger than any number.
void keep_larger(Distance& worst, double value, const std::string& parameter) {
  if (!(value <= worst.value) && !std::isnan(worst.value)) worst = {.value = value, .parameter = parameter};
}

Distance excess(const Parameters& run, const Parameters& reference, const Parameters& exact) {
  Distance worst;
  for (const auto& [name, truth] : exact)
    keep_larger(worst,
                ratio(distance(run.at(name), truth, Measure::norm),
                      distance(reference.at(name), truth, Measure::norm)),
                name);
  return worst;
}

// What is left of a weight that only decays through these steps.
double decayed(const RunRecord& run, double weight_decay) {
  double factor = 1;
  for (const StepReport& step : run.steps) factor *= 1 - step.lr * weight_decay;
  return factor;
}

}  // namespace

std::string place(std::span<const StateEntry> entries, std::string_view slot, Parameters& into) {
  std::string unequal;
  for (const StateEntry& entry : entries) {
    if (entry.slot != slot) continue;
    std::vector<double>& whole = into[entry.name];
    whole.resize(static_cast<std::size_t>(entry.shape[0] * entry.shape[1]), std::nan(""));
    std::int64_t i = 0;
    const Box& box = entry.box;
    for (std::int64_t row = box.offset[0]; row < box.offset[0] + box.extent[0]; ++row)
      for (std::int64_t col = box.offset[1]; col < box.offset[1] + box.extent[1]; ++col)
        if (!put(whole[static_cast<std::size_t>(row * entry.shape[1] + col)], element(entry.data, i++)))
          unequal = entry.name;
  }
  return unequal;
}

Distance distance(const Parameters& a, const Parameters& b, Measure measure) {
  Distance worst;
  for (const auto& [name, y] : b) keep_larger(worst, distance(a.at(name), y, measure), name);
  return worst;
}

Differences compare(const RunRecord& run, const RunRecord& reference, Measure measure,
                    const RunRecord* exact) {
  Differences differences;
  for (std::size_t i = 0; i < reference.steps.size(); ++i) {
    const StepReport &a = run.steps.at(i), &b = reference.steps[i];
    differences.loss.push_back(ratio(std::abs(a.loss - b.loss), std::abs(b.loss)));
    differences.grad_norm.push_back(ratio(std::abs(a.grad_norm - b.grad_norm), b.grad_norm));
    const Distance gradient = distance(run.gradients.at(i), reference.gradients[i], measure);
    keep_larger(differences.gradient, gradient.value, gradient.parameter);
    if (i == 0) differences.first_gradient = gradient;
  }
  differences.weights = distance(run.weights, reference.weights, measure);
  if (exact != nullptr)
    differences.excess = excess(run.gradients[0], reference.gradients[0], exact->gradients[0]);
  return differences;
}

Tolerance tolerance_of(DType compute) {
  switch (compute) {
    case DType::float64:
      return {.loss = 1e-9, .first_gradient = 1e-9, .gradient = 1e-9, .weights = 1e-9};
    case DType::float32:
      return {.loss = 1e-5, .first_gradient = 1e-5, .weights = 1e-4};
    default:
      return {.measure = Measure::norm, .loss = 1e-2, .first_gradient = 5e-2, .excess = 1.5};
  }
}

namespace {

class Judge {
 public:
  // A tensor per parameter; without a name, a number of the whole run.
  void judge(const char* what, const Distance& distance, std::optional<double> tolerance) {
    if (!tolerance || distance.value <= *tolerance) return;
    const std::string of = distance.parameter.empty() ? "" : " of " + distance.parameter;
    found_.push_back({.text = cat(what, of, " differs by ", distance.value, ", more than ", *tolerance),
                      .parameter = distance.parameter});
  }
  void unequal(const std::string& copies) {
    found_.push_back({.text = cat("ranks hold different values of one element: ", copies),
                      .parameter = copies.substr(copies.rfind(' ') + 1)});
  }
  std::vector<Breach> found() && { return std::move(found_); }

 private:
  std::vector<Breach> found_;
};

}  // namespace

double largest(const std::vector<double>& values) {
  Distance worst;
  for (const double value : values) keep_larger(worst, value, "");
  return worst.value;
}

std::vector<Breach> breaches(const RunRecord& run, const Differences& differences,
                             const Tolerance& tolerance) {
  Judge judge;
  judge.judge("first gradient", differences.first_gradient, tolerance.first_gradient);
  judge.judge("first gradient's distance to float64, over the one process's,", differences.excess,
              tolerance.excess);
  judge.judge("gradient", differences.gradient, tolerance.gradient);
  judge.judge("weight after the last step", differences.weights, tolerance.weights);
  judge.judge("loss", {.value = largest(differences.loss), .parameter = ""}, tolerance.loss);
  judge.judge("gradient norm", {.value = largest(differences.grad_norm), .parameter = ""},
              tolerance.gradient);
  for (const std::string& copies : run.unequal_copies) judge.unequal(copies);
  return std::move(judge).found();
}

std::vector<std::string> trivialities(const RunRecord& reference, const Config& config) {
  std::vector<std::string> found;
  const double first = reference.steps.front().loss, last = reference.steps.back().loss;
  if (!(last < first)) found.push_back(cat("the loss does not fall: ", first, ", then ", last));
  const double factor = decayed(reference, config.optimizer.weight_decay);
  for (const ParameterLayout& parameter : parameter_table(config.model, 1)) {
    if (!parameter.tied_to.empty()) continue;
    const std::string& name = parameter.name;
    if (!(norm(reference.gradients.front().at(name)) > 0)) found.push_back(cat(name, " has no gradient"));
    std::vector<double> still = reference.initial.at(name);
    for (double& weight : still) weight *= parameter.decay ? factor : 1;
    if (!(distance(reference.weights.at(name), still, Measure::norm) > kMoved))
      found.push_back(cat(name, " ends where weight decay alone would have brought it"));
  }
  return found;
}

}  // namespace drover
