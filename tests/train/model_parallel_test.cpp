// Tensor, context and pipeline ranks train what one rank trains, alone and together.
#include "tests/support/local_training.h"
#include "tests/support/rank_checks.h"
#include "tests/support/test_support.h"

namespace drover::testing {
namespace {

// 4 blocks, 8 query heads, 2 kv heads: kv heads are copied from 4 tensor ranks on.
Config parallel_config() {
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

Config on(Config config, const ParallelConfig& parallel) {
  config.parallel = parallel;
  return config;
}

}  // namespace

TEST_CASE("tensor ranks agree with one rank") {
  for (const bool tied : {false, true}) {
    Config config = parallel_config();
    config.model.tie_word_embeddings = tied;
    const RunResult reference = train_locally(on(config, {}), 1);
    for (const int tensor : {2, 4, 8}) {
      INFO(tensor << " tensor ranks" << (tied ? ", tied" : ""));
      check_equal(train_locally(on(config, {.tensor = tensor}), tensor), reference);
    }
    check_equal(train_locally(on(config, {.tensor = 4, .shard = 2, .zero = 3}), 8), reference);
  }
}

TEST_CASE("pipeline ranks agree with one rank under every schedule") {
  for (const bool tied : {false, true}) {
    Config config = parallel_config();
    config.model.tie_word_embeddings = tied;
    const RunResult reference = train_locally(on(config, {}), 1);
    for (const auto& [schedule, stages] :
         {std::pair{"gpipe", 1}, {"1f1b", 1}, {"interleaved", 2}, {"zb-h1", 1}, {"zb-v", 2}})
      for (const int pipeline : {1, 2}) {
        INFO(schedule << " on " << pipeline << (tied ? ", tied" : ""));
        check_equal(
            train_locally(on(config, {.pipeline = pipeline, .schedule = schedule, .virtual_stages = stages}),
                          pipeline),
            reference);
      }
  }
}

TEST_CASE("tensor, pipeline and data ranks compose under every policy") {
  const Config config = parallel_config();
  const RunResult reference = train_locally(on(config, {}), 1);
  for (const int zero : {1, 2, 3})
    for (const char* schedule : {"1f1b", "zb-v"}) {
      INFO(schedule << ", ZeRO-" << zero);
      const int stages = std::string(schedule) == "zb-v" ? 2 : 1;
      check_equal(train_locally(on(config, {.tensor = 2,
                                            .pipeline = 2,
                                            .shard = 2,
                                            .zero = zero,
                                            .schedule = schedule,
                                            .virtual_stages = stages}),
                                8),
                  reference);
      check_equal(train_locally(on(config, {.tensor = 2,
                                            .pipeline = 2,
                                            .replicate = 2,
                                            .zero = zero,
                                            .schedule = schedule,
                                            .virtual_stages = stages}),
                                8),
                  reference);
    }
}

TEST_CASE("context ranks agree with one rank") {
  const Config config = parallel_config();
  const RunResult reference = train_locally(on(config, {}), 1);
  for (const char* pieces : {"auto", "head_tail", "balanced"})
    for (const int context : {2, 4, 8}) {
      INFO(context << " context ranks, " << pieces);
      check_equal(train_locally(on(config, {.context = context, .context_pieces = pieces}), context),
                  reference);
    }
  for (const int zero : {1, 2, 3})
    check_equal(train_locally(on(config, {.context = 2, .shard = 2, .zero = zero}), 4), reference);
}

TEST_CASE("all axes together agree with one rank") {
  for (const bool tied : {false, true}) {
    Config config = parallel_config();
    config.model.tie_word_embeddings = tied;
    const RunResult reference = train_locally(on(config, {}), 1);
    for (const auto& [schedule, stages] : {std::pair{"1f1b", 1}, {"interleaved", 2}, {"zb-v", 2}}) {
      INFO(schedule << (tied ? ", tied" : ""));
      check_equal(train_locally(on(config, {.tensor = 2,
                                            .context = 2,
                                            .pipeline = 2,
                                            .shard = 2,
                                            .schedule = schedule,
                                            .virtual_stages = stages}),
                                16),
                  reference);
    }
  }
}

TEST_CASE("as many microbatches are in flight as the schedule was counted to have") {
  Config config = parallel_config();
  config.train.batch_tokens = 16 * 12;
  config.train.microbatch_sequences = 1;
  for (const auto& [schedule, stages] :
       {std::pair{"gpipe", 1}, {"1f1b", 1}, {"interleaved", 2}, {"zb-h1", 1}, {"zb-v", 2}})
    for (const int pipeline : {1, 2}) {
      INFO(schedule << " on " << pipeline);
      config.parallel = {.pipeline = pipeline, .schedule = schedule, .virtual_stages = stages};
      RankChecks checks;
      run_local_ranks(pipeline, [&](Communicator& world) {
        PosixFileSystem files;
        HostMemory memory;
        const auto backend = make_cpu_backend(memory, {.threads = 1});
        const Platform platform{.world = world, .backend = *backend, .host = memory, .files = files};
        const auto training = build_training(config, platform);
        Trainer(*training, platform).step();
        const PipelineSchedule counted = schedule_of(config, files, 12);
        const Timeline& timeline = counted.timelines[static_cast<std::size_t>(world.rank())];
        for (int chunk = 0; chunk < stages; ++chunk)
          checks.that(training->stages[static_cast<std::size_t>(chunk)]->most_in_flight() ==
                          count_slots(timeline, chunk),
                      cat("rank ", world.rank(), ", chunk ", chunk));
      });
      CHECK(checks.first_failure() == "");
    }
}

TEST_CASE("a phase with fewer microbatches, which need more buffers, trains as on one rank") {
  Config config = parallel_config();
  config.train.microbatch_sequences = 1;
  config.train.batch_tokens = 16 * 10;
  config.train.steps = 4;
  config.phases = {{.from_tokens = 16 * 20, .batch_tokens = 16 * 9}};
  const RunResult reference = train_locally(on(config, {}), 1);
  for (const int pipeline : {1, 2})
    check_equal(
        train_locally(on(config, {.pipeline = pipeline, .schedule = "interleaved", .virtual_stages = 2}),
                      pipeline),
        reference);
}

}  // namespace drover::testing
