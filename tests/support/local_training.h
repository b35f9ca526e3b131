// Whole training runs on ranks that are threads of this process, through the code that mpirun runs; what
// comes back is put together to logical parameters, so runs of different layouts can be compared.
#pragma once

#include <mutex>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "parallel/comm/local/local_comm.h"
#include "tests/support/model_rig.h"
#include "tests/support/test_support.h"
#include "train/verify_compare.h"

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

// 4 blocks, 8 query heads, 2 kv heads: kv heads are copied from 4 tensor ranks on.
inline Config parallel_config() {
  Config config = tiny_config();
  config.model.num_hidden_layers = 4;
  config.model.num_attention_heads = 8;
  config.model.num_key_value_heads = 2;
  config.model.head_dim = 4;
  config.model.intermediate_size = 24;
  config.model.vocab_size = 40;
  config.data.synthetic->vocab_size = 40;
  config.train.steps = 3;
  return config;
}

// Long enough that products are cut into pieces (parallel/regions/tensor_region.h), attention into tiles of queries
// and the loss into chunks of tokens (model/loss.h), on up to two tensor and two context ranks each; parameters of 3
// MiB. One row a microbatch, two rows a step.
inline Config long_config() {
  Config config = tiny_config();
  config.model.num_attention_heads = 4;
  config.model.num_key_value_heads = 2;
  config.model.head_dim = 4;
  config.model.intermediate_size = 24;
  config.model.vocab_size = 24576;
  config.data.synthetic = SyntheticOptions{.seed = 5,
                                           .documents = 64,
                                           .vocab_size = config.model.vocab_size,
                                           .median_length = 150,
                                           .max_length = 3000};
  config.train.sequence_length = 1024;
  config.train.batch_tokens = 2 * 1024;
  config.train.microbatch_sequences = 1;
  config.train.steps = 1;
  config.optimizer.warmup_steps = 0;
  return config;
}

// Of one run, equal on all ranks.
struct RunResult {
  std::vector<StepReport> steps;
  Parameters weights, moment1, moment2;  // after the last step
  Parameters gradients;                  // of the last step, summed over tokens
};

namespace internal {

inline void collect(const Trainer& trainer, RunResult& result) {
  const std::vector<StateEntry> state = trainer.state_entries();
  place(state, "weight", result.weights);
  place(state, "moment1", result.moment1);
  place(state, "moment2", result.moment2);
  place(trainer.gradient_entries(), "gradient", result.gradients);
}

}  // namespace internal

// Called on every rank, after its training was built and before its first step.
using Prepare = std::function<void(Training&, Trainer&, const Platform&)>;

// Where the ranks of a run that are threads of this process leave what they have at its end.
struct Collected {
  std::mutex mutex;
  RunResult result;
};

// One rank's whole training in `memory`. Of the parameters only what this rank owns is left in `collected`; other
// elements are what they were, NaN at first.
inline void train_rank(Communicator& world, Memory& memory, const Config& config, Collected& collected,
                       int threads = 1, const Prepare& prepare = {}) {
  PosixFileSystem files;
  const auto backend = make_cpu_backend(memory, {.threads = threads});
  const Platform platform{.world = world, .backend = *backend, .host = memory, .files = files};
  const auto training = build_training(config, platform);
  Trainer trainer(*training, platform);
  if (prepare) prepare(*training, trainer, platform);
  std::vector<StepReport> steps;
  while (!trainer.finished()) steps.push_back(trainer.step());
  const std::lock_guard lock(collected.mutex);
  collected.result.steps = steps;
  internal::collect(trainer, collected.result);
}

inline RunResult train_locally(const Config& config, int ranks, int threads = 1,
                               const Prepare& prepare = {}) {
  Collected collected;
  run_local_ranks(ranks, [&](Communicator& world) {
    HostMemory memory;
    train_rank(world, memory, config, collected, threads, prepare);
  });
  return collected.result;
}

// To 1e-9: every step's loss and gradient norm; the last step's gradients, and weights and moments after it.
inline void check_equal(const RunResult& run, const RunResult& reference) {
  REQUIRE(run.steps.size() == reference.steps.size());
  for (std::size_t i = 0; i < run.steps.size(); ++i) {
    CHECK(run.steps[i].loss == Approx(reference.steps[i].loss).epsilon(1e-9));
    CHECK(run.steps[i].grad_norm == Approx(reference.steps[i].grad_norm).epsilon(1e-9));
    CHECK(run.steps[i].targets == reference.steps[i].targets);
    CHECK(run.steps[i].attended_pairs == reference.steps[i].attended_pairs);
  }
  for (const auto& [what, a, b] : {std::tuple{"gradients", &run.gradients, &reference.gradients},
                                   {"weights", &run.weights, &reference.weights},
                                   {"moment2", &run.moment2, &reference.moment2}}) {
    const Distance d = distance(*a, *b);
    INFO(what << " of " << d.parameter);
    CHECK(d.value < 1e-9);
  }
}

}  // namespace drover::testing
