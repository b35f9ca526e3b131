// Tensor, context and pipeline ranks train what one rank trains, alone and together.
#include "core/ops/counting_backend.h"
#include "parallel/comm/shape_comm.h"
#include "tests/support/local_training.h"
#include "tests/support/rank_checks.h"
#include "tests/support/test_support.h"

namespace drover::testing {
namespace {

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

TEST_CASE("rows of several pieces, tiles and chunks of the loss agree with one rank") {
  const Config config = long_config();
  const RunResult reference = train_locally(on(config, {}), 1);
  check_equal(train_locally(on(config, {.tensor = 2}), 2), reference);
  check_equal(train_locally(on(config, {.tensor = 2, .context = 2}), 4), reference);
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

namespace {

// One row to a microbatch, one block to a stage.
Config deep_config(const char* schedule, int pipeline, int chunks, std::int64_t microbatches) {
  Config config = parallel_config();
  config.model.num_hidden_layers = pipeline * chunks;
  config.train.batch_tokens = config.train.sequence_length * microbatches;
  config.train.microbatch_sequences = 1;
  config.parallel = {.pipeline = pipeline, .schedule = schedule, .virtual_stages = chunks};
  return config;
}

// Whether the rank, after a step, had as many microbatches in flight as were counted.
bool holds_what_was_counted(const Config& config, const Platform& platform) {
  const auto training = build_training(config, platform);
  Trainer(*training, platform).step();
  const PipelineSchedule counted =
      schedule_of(config, platform.files, config.train.batch_tokens / config.train.sequence_length);
  const Timeline& timeline = counted.timelines[static_cast<std::size_t>(platform.world.rank())];
  for (std::size_t chunk = 0; chunk < training->model.stages.size(); ++chunk)
    if (training->model.stages[chunk]->most_in_flight() != count_slots(timeline, static_cast<int>(chunk)))
      return false;
  return true;
}

constexpr std::array kSchedules = {std::pair{"gpipe", 1}, std::pair{"1f1b", 1}, std::pair{"interleaved", 2},
                                   std::pair{"zb-h1", 1}, std::pair{"zb-v", 2}};

}  // namespace

TEST_CASE("as many microbatches are in flight as the schedule was counted to have") {
  for (const auto& [schedule, chunks] : kSchedules)
    for (const int pipeline : {1, 2, 4, 8}) {
      INFO(schedule << " on " << pipeline);
      const Config config = deep_config(schedule, pipeline, chunks, 19);
      RankChecks checks;
      run_local_ranks(pipeline, [&](Communicator& world) {
        PosixFileSystem files;
        HostMemory memory;
        const auto backend = make_cpu_backend(memory, {.threads = 1});
        checks.that(holds_what_was_counted(
                        config, {.world = world, .backend = *backend, .host = memory, .files = files}),
                    cat("rank ", world.rank()));
      });
      CHECK(checks.first_failure().empty());
    }
}

TEST_CASE(
    "the real program on shapes has in flight what was counted, up to 64 ranks, 8 chunks, 256 microbatches") {
  PosixFileSystem files;
  HostMemory memory;
  const auto cpu = make_cpu_backend(memory, {.threads = 1});
  for (const auto& [schedule, chunks] : kSchedules)
    for (const auto& [pipeline, microbatches] : {std::pair{16, 40}, {64, 256}}) {
      const int most = schedule == std::string("interleaved") ? 8 : chunks;
      INFO(schedule << " on " << pipeline << ", " << most << " chunks, " << microbatches << " microbatches");
      const Config config = deep_config(schedule, pipeline, most, microbatches);
      for (const int rank : {0, 1, pipeline / 2, pipeline - 1}) {
        CountingBackend shapes(*cpu);
        ShapeComm world(pipeline, rank);
        CHECK(holds_what_was_counted(config,
                                     {.world = world, .backend = shapes, .host = memory, .files = files}));
      }
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
