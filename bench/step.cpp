// A whole training step (forward, backward, gradient norm, AdamW) on full causal rows: tokens/s, FLOP/s by
// training_flops, their share of the best matrix product of this machine (measured in the same run), and
// where the time goes. bench/peers/step.py runs it beside PyTorch.
//   bench_step [--model=8m|39m] [--dtype=bfloat16|float32] [--threads=2] [--rows=8] [--steps=5] [--path=auto|avx512|...]
// With one thread seconds are processor time, with more they are wall time.
#include <algorithm>
#include <cstdio>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "bench/models.h"
#include "bench/timed_backend.h"
#include "core/cpu/cpu_backend.h"
#include "core/ops/ops.h"
#include "parallel/comm/local/local_comm.h"
#include "train/trainer.h"

namespace drover {
namespace {

using Arguments = std::map<std::string, std::string>;

constexpr std::int64_t kSequence = 512;

ModelConfig model_named(const std::string& name) {
  ModelConfig model = model_8m();
  if (name == "8m") return model;
  if (name != "39m") throw usage_error("--model=", name, ": expected 8m or 39m");
  model.hidden_size = 512;
  model.intermediate_size = 2048;
  model.tie_word_embeddings = false;
  return model;
}

// Documents so long that nearly every row is one.
Config config_of(const Arguments& a) {
  const std::int64_t rows = std::stoll(a.at("rows"));
  Config config;
  config.model = model_named(a.at("model"));
  config.data.synthetic = SyntheticOptions{
      .vocab_size = config.model.vocab_size, .median_length = 1e6, .sigma = 0, .max_length = 1'000'000};
  config.cpu_path = a.at("path");
  if (config.cpu_path != "auto" && !cpu_path_named(config.cpu_path))
    throw usage_error("--path=", config.cpu_path, ": expected auto, plain, avx2, avx512, avx512_bf16 or amx");
  config.train = {.dtype = a.at("dtype"),
                  .sequence_length = kSequence,
                  .batch_tokens = kSequence * rows,
                  .microbatch_sequences = rows,
                  .steps = 1'000};
  return config;
}

// FLOP/s of the best of a few large products through the backend.
double product_peak(const Exec& exec, DType dtype, const Stopwatch& watch) {
  double best = 0;
  for (const std::int64_t n : {1024, 2048}) {
    const double flops = 2 * static_cast<double>(n * n * n);
    const auto matrix = [&](Buffer& buffer) {
      buffer = Buffer(exec.backend.memory(), n * n * size_of(dtype), MemoryCategory::scratch);
      const Tensor tensor = buffer.tensor(dtype, {n, n});
      ops::fill(exec, {.out = tensor, .value = 0.5});
      return tensor;
    };
    Buffer buffers[3];
    const Matmul product{.a = matrix(buffers[0]), .b = matrix(buffers[1]), .out = matrix(buffers[2])};
    for (int round = 0; round < 6; ++round) {
      const double start = watch.seconds();
      ops::matmul(exec, product);
      best = std::max(best, flops / (watch.seconds() - start));
    }
  }
  return best;
}

struct Measured {
  std::vector<double> seconds;  // of each step
  StepReport report;
};

Measured measure(Trainer& trainer, TimedBackend& timed, const Stopwatch& watch, int steps) {
  Measured measured;
  for (int warm_up = 0; warm_up < 2; ++warm_up) trainer.step();
  timed.reset();
  for (int i = 0; i < steps; ++i) {
    const double start = watch.seconds();
    measured.report = trainer.step();
    measured.seconds.push_back(watch.seconds() - start);
  }
  return measured;
}

void print_breakdown(const TimedBackend& timed, double total, int steps) {
  double rest = total;
  const auto line = [&](std::string_view name, double seconds) {
    std::printf("  %-24.*s %8.1f ms %5.1f %%\n", static_cast<int>(name.size()), name.data(),
                1e3 * seconds / steps, 100 * seconds / total);
  };
  for (std::size_t i = 0; i < kWorkNames.size(); ++i) {
    const double seconds = timed.seconds(static_cast<Work>(i));
    line(kWorkNames[i], seconds);
    rest -= seconds;
  }
  line("everything else", rest);
}

void run(const Arguments& a) {
  const Config config = config_of(a);
  const int threads = std::stoi(a.at("threads")), steps = std::stoi(a.at("steps"));
  const Stopwatch watch = stopwatch_for(threads);
  HostMemory memory;
  PosixFileSystem files;
  const auto real = make_cpu_backend(memory, cpu_options(config, threads));
  TimedBackend timed(*real, watch);
  const auto world = single_rank_world();
  const Platform platform{.world = *world, .backend = timed, .host = memory, .files = files};
  const auto training = build_training(config, platform);
  Trainer trainer(*training, platform);
  const double peak = product_peak(trainer.exec(), training->model.groups->shard(0).working.dtype, watch);
  const Measured measured = measure(trainer, timed, watch, steps);
  const StepReport& r = measured.report;
  const double flops = training_flops(config.model, r.batch_tokens, r.attended_pairs);
  std::vector<double> sorted = measured.seconds;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[sorted.size() / 2];
  std::printf(
      "drover %s, %s, %d threads, %s: %.0f tokens/s, %.1f ms a step (best %.1f), %.1f GFLOP/s, %.0f %% "
      "of the product peak %.1f\n",
      a.at("model").c_str(), config.train.dtype.c_str(), threads, real->describe().c_str(),
      static_cast<double>(r.batch_tokens) / median, 1e3 * median, 1e3 * sorted[0], 1e-9 * flops / median,
      100 * flops / median / peak, 1e-9 * peak);
  print_breakdown(timed, std::accumulate(sorted.begin(), sorted.end(), 0.0), steps);
  std::printf("  steps [ms]:");
  for (const double seconds : measured.seconds) std::printf(" %.1f", 1e3 * seconds);
  std::printf("\n");
}

}  // namespace
}  // namespace drover

int main(int count, char** arguments) {
  drover::Arguments options = {{"model", "8m"}, {"dtype", "bfloat16"}, {"threads", "2"},
                               {"rows", "8"},   {"steps", "5"},        {"path", "auto"}};
  try {
    for (int i = 1; i < count; ++i) {
      const std::string argument = arguments[i];
      const std::size_t equals = std::min(argument.find('='), argument.size());
      const auto option =
          argument.starts_with("--") ? options.find(argument.substr(2, equals - 2)) : options.end();
      if (option == options.end()) throw drover::usage_error(argument, ": not an option of bench_step");
      option->second = argument.substr(std::min(equals + 1, argument.size()));
    }
    drover::run(options);
    return 0;
  } catch (const drover::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.exit());
  }
}
