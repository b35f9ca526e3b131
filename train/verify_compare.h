// What "computes the same" means: differences between two runs of one configuration, and the tolerances of
// docs/numerics.md. Values and pure functions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/format/state.h"
#include "train/trainer.h"

namespace drover {

// Logical parameters, row-major, by name. NaN: an element that nobody has put there.
using Parameters = std::map<std::string, std::vector<double>>;

// Puts the entries of one slot where they belong in the whole parameters. An element that is there already
// with another value stays, and its parameter's name is returned: copies that should be equal are not.
std::string place(std::span<const StateEntry> entries, std::string_view slot, Parameters& into);

// How far two tensors are apart, relative to the second.
enum class Measure : std::uint8_t {
  norm_and_maximum,  // the larger of ||a - b|| / ||b|| and max|a - b| / max|b|
  norm,              // ||a - b|| / ||b||
};
struct Distance {
  double value = 0;
  std::string parameter;  // the one that is farthest
};
// `a` and `b` have the same parameters. NaN where an element of either is.
Distance distance(const Parameters& a, const Parameters& b, Measure measure = Measure::norm_and_maximum);

// One run on some layout, put together from its ranks.
struct RunRecord {
  std::vector<StepReport> steps;
  std::vector<Parameters> gradients;              // of each step: the mean over its targets
  Parameters initial, weights, moment1, moment2;  // masters before the first step; after the last
  std::vector<std::string> unequal_copies;  // "weight of NAME": ranks hold different values of one element
};

struct Differences {
  std::vector<double> loss;       // of each step, relative
  std::vector<double> grad_norm;  // likewise
  Distance first_gradient;        // of the first step
  Distance gradient;              // of the step where it is largest
  Distance weights;               // after the last step
  // First gradient of the run to that of a float64 run, over the same of the reference; the parameter where it
  // is largest. 0 without a float64 run.
  Distance excess;
};
// `exact` is the reference in float64, or null.
Differences compare(const RunRecord& run, const RunRecord& reference, Measure measure,
                    const RunRecord* exact = nullptr);

// Of the differences of several steps. NaN where one is; 0 of none.
double largest(const std::vector<double>& differences);

// Absent: not judged.
struct Tolerance {
  Measure measure = Measure::norm_and_maximum;
  double loss = 0, first_gradient = 0;
  std::optional<double> gradient, weights, excess;
};
Tolerance tolerance_of(DType compute);

// What breaks the tolerance, worst of all the parameters in it; empty when nothing does. `parameter` is empty
// where a number of the whole run is off.
struct Breach {
  std::string text;  // "first gradient of NAME differs by 0.5, more than 1e-09"
  std::string parameter;
};
std::vector<Breach> breaches(const RunRecord& run, const Differences& differences,
                             const Tolerance& tolerance);

// Why agreement with this run would prove nothing; empty when it is a proper subject: the loss falls, every
// parameter has a gradient, and every parameter ends where decay alone would not have brought it.
std::vector<std::string> trivialities(const RunRecord& reference, const Config& config);

}  // namespace drover
