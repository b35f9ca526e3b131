// Training on processes gives the bits of training on threads.
#include <cstring>

#include "tests/support/local_training.h"
#include "tests/support/mpi_world.h"
#include "tests/support/test_support.h"

namespace drover::testing {
namespace {

using Parameters = std::map<std::string, std::vector<double>>;

// Elements of `own` (NaN: another rank's) that are not those of `whole`, and how many were compared.
struct Comparison {
  std::int64_t compared = 0, different = 0;
};

void compare(const Parameters& own, const Parameters& whole, Comparison& comparison) {
  for (const auto& [name, elements] : own)
    for (std::size_t i = 0; i < elements.size(); ++i) {
      if (std::isnan(elements[i])) continue;
      ++comparison.compared;
      comparison.different += std::memcmp(&elements[i], &whole.at(name)[i], sizeof(double)) != 0;
    }
}

Comparison compare(const RunResult& own, const RunResult& whole) {
  Comparison comparison;
  compare(own.weights, whole.weights, comparison);
  compare(own.moment1, whole.moment1, comparison);
  compare(own.moment2, whole.moment2, comparison);
  compare(own.gradients, whole.gradients, comparison);
  for (std::size_t i = 0; i < whole.steps.size(); ++i)
    comparison.different +=
        own.steps.at(i).loss != whole.steps[i].loss || own.steps[i].grad_norm != whole.steps[i].grad_norm;
  return comparison;
}

// Every process trains its rank, in the memory that `drover train` trains in, then all ranks as threads.
void check_same_bits(const Config& config) {
  const auto world = mpi_process().world();
  const auto memory = mpi_process().make_memory();
  Collected own;
  train_rank(*world, *memory, config, own);
  const Comparison comparison = compare(own.result, train_locally(config, world->size()));
  CHECK(comparison.compared > 1000);
  CHECK(comparison.different == 0);
}

}  // namespace

TEST_CASE("training on processes gives the bits of training on threads, whatever policy and dtype") {
  for (const char* dtype : {"float64", "float32", "bfloat16"})
    for (const std::int64_t zero : {1, 2, 3}) {
      INFO("ZeRO-" << zero << " in " << dtype);
      Config config = tiny_config();
      config.train.dtype = dtype;
      config.parallel.zero = zero;
      check_same_bits(config);
    }
}

TEST_CASE("replicas on processes have the bits of replicas on threads") {
  Config config = tiny_config();
  config.model = wide_model();  // whose sums along replicas take two rounds
  config.parallel.replicate = mpi_process().world()->size() > 1 ? 2 : 1;
  for (const std::int64_t zero : {1, 2, 3}) {
    INFO("ZeRO-" << zero);
    config.parallel.zero = zero;
    check_same_bits(config);
  }
}

// The sums and gathers of 3 MiB take the ways of large tensors: read in place, summed in one round.
TEST_CASE("long rows and a large vocabulary on processes have the bits of those on threads") {
  std::vector<ParallelConfig> layouts{{}};
  if (mpi_process().world()->size() == 2) layouts = {{.tensor = 2}, {.replicate = 2}, {.zero = 3}};
  if (mpi_process().world()->size() == 4)
    layouts = {{.tensor = 2, .context = 2}, {.replicate = 2, .zero = 3}};
  for (const ParallelConfig& layout : layouts) {
    Config config = long_config();
    config.parallel = layout;
    INFO("tensor " << layout.tensor << ", replicate " << layout.replicate << ", ZeRO-" << layout.zero);
    check_same_bits(config);
  }
}

}  // namespace drover::testing
