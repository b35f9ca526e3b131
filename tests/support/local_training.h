// Whole training runs on ranks that are threads of this process, through the code that mpirun runs; what
// comes back is put together to logical parameters, so runs of different layouts can be compared.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "parallel/local_comm.h"
#include "tests/support/model_rig.h"
#include "train/trainer.h"

namespace drover::testing {

// Synthetic ragged documents, two rows to a microbatch, float64.
inline Config tiny_config() {
  Config config;
  config.model = tiny_model();
  config.data.synthetic = SyntheticOptions{.seed = 5,
                                           .documents = 64,
                                           .vocab_size = config.model.vocab_size,
                                           .median_length = 12,
                                           .max_length = 40};
  config.train = {.dtype = "float64",
                  .sequence_length = 16,
                  .batch_tokens = 16 * 10,
                  .microbatch_sequences = 2,
                  .steps = 8};
  config.optimizer.lr = 1e-2;
  config.optimizer.warmup_steps = 2;
  return config;
}

// Of one run, equal on all ranks.
struct RunResult {
  std::vector<StepReport> steps;
  std::map<std::string, std::vector<double>> weights, moment1,
      moment2;                                           // logical parameters, row-major, after the last step
  std::map<std::string, std::vector<double>> gradients;  // of the last step, summed over tokens
};

namespace internal {

inline double element(const Tensor& flat, std::int64_t i) {
  return flat.dtype == DType::float64 ? flat.as<double>()[i] : static_cast<double>(flat.as<float>()[i]);
}

inline void place(std::map<std::string, std::vector<double>>& into, const ParameterLayout& parameter,
                  const Box& box, const Tensor& data) {
  std::vector<double>& whole = into[parameter.name];
  whole.resize(static_cast<std::size_t>(parameter.numel()), std::nan(""));
  std::int64_t i = 0;
  for (std::int64_t row = box.offset[0]; row < box.offset[0] + box.extent[0]; ++row)
    for (std::int64_t col = box.offset[1]; col < box.offset[1] + box.extent[1]; ++col)
      whole[static_cast<std::size_t>(row * parameter.shape[1] + col)] = element(data, i++);
}

inline void collect(const Training& t, RunResult& result) {
  for (int g = 0; g < t.groups->count(); ++g) {
    const GroupShard& shard = t.groups->shard(g);
    for (const FlatBox& piece :
         boxes_of_range(t.groups->layout(g), shard.begin, shard.begin + shard.master.dims[0])) {
      const ParameterLayout& parameter = t.table[static_cast<std::size_t>(piece.parameter)];
      const auto part = [&](const Tensor& flat) {
        return flat.slice(0, piece.offset, piece.offset + piece.box.numel());
      };
      place(result.weights, parameter, piece.box, part(shard.master));
      place(result.moment1, parameter, piece.box, part(shard.moment1));
      place(result.moment2, parameter, piece.box, part(shard.moment2));
      place(result.gradients, parameter, piece.box, part(shard.gradient));
    }
  }
}

}  // namespace internal

// Called on every rank, after its training was built and before its first step.
using Prepare = std::function<void(Training&, Trainer&, const Platform&)>;

// Where the ranks of a run that are threads of this process leave what they have at its end.
struct Collected {
  std::mutex mutex;
  RunResult result;
};

// One rank's whole training. Of the parameters only what this rank owns is left in `collected`; other
// elements are what they were, NaN at first.
inline void train_rank(Communicator& world, const Config& config, Collected& collected, int threads = 1,
                       const Prepare& prepare = {}) {
  PosixFileSystem files;
  HostMemory memory;
  const auto backend = make_cpu_backend(memory, {.threads = threads});
  const Platform platform{.world = world, .backend = *backend, .host = memory, .files = files};
  const auto training = build_training(config, platform);
  Trainer trainer(*training, platform);
  if (prepare) prepare(*training, trainer, platform);
  std::vector<StepReport> steps;
  while (!trainer.finished()) steps.push_back(trainer.step());
  const std::lock_guard lock(collected.mutex);
  collected.result.steps = steps;
  internal::collect(*training, collected.result);
}

inline RunResult train_locally(const Config& config, int ranks, int threads = 1,
                               const Prepare& prepare = {}) {
  Collected collected;
  run_local_ranks(ranks,
                  [&](Communicator& world) { train_rank(world, config, collected, threads, prepare); });
  return collected.result;
}

// DESIGN's "relative": the larger of the ratio of norms and the ratio of maxima, over all parameters; the
// worst one is named.
struct Distance {
  double value = 0;
  std::string parameter;
};
inline Distance distance(const std::map<std::string, std::vector<double>>& a,
                         const std::map<std::string, std::vector<double>>& b) {
  Distance worst;
  for (const auto& [name, x] : a) {
    const std::vector<double>& y = b.at(name);
    double squares = 0, reference = 0, maximum = 0, largest = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      squares += (x[i] - y[i]) * (x[i] - y[i]);
      reference += y[i] * y[i];
      maximum = std::max(maximum, std::abs(x[i] - y[i]));
      largest = std::max(largest, std::abs(y[i]));
    }
    const double value = std::max(std::sqrt(squares / reference), maximum / largest);
    if (!(value <= worst.value)) worst = {.value = value, .parameter = name};
  }
  return worst;
}

}  // namespace drover::testing
