// A dry run tells of every rank what a real run of it then holds, computes and sends.
#include "train/dry_run.h"

#include "tests/support/local_training.h"
#include "tests/support/tally_backend.h"
#include "tests/support/test_support.h"

namespace drover {

using testing::parallel_config;

namespace {

// One real step of a rank, told in the dry run's terms.
DryRun real_run(Communicator& world, const Config& config) {
  PosixFileSystem files;
  HostMemory memory;
  const auto cpu = make_cpu_backend(memory, {.threads = 1});
  testing::TallyBackend backend(*cpu);
  DryRun run;
  const Platform platform{
      .world = world, .backend = backend, .host = memory, .files = files, .sent = &run.sent};
  const auto training = build_training(config, platform);
  const StepReport step = Trainer(*training, platform).step();
  for (std::size_t i = 0; i < kMemoryCategories; ++i)
    run.bytes[i] = memory.ledger().peak(static_cast<MemoryCategory>(i));
  run.work = backend.count();
  run.at = training->plan.at;
  run.step_tokens = step.batch_tokens;
  run.step_flops = training_flops(config.model, step.batch_tokens, step.attended_pairs);
  return run;
}

std::vector<DryRun> real_runs(const Config& config, int ranks) {
  std::vector<DryRun> runs(static_cast<std::size_t>(ranks));
  run_local_ranks(ranks, [&](Communicator& world) {
    runs[static_cast<std::size_t>(world.rank())] = real_run(world, config);
  });
  return runs;
}

void check_same(const DryRun& dry, const DryRun& real) {
  CHECK(dry.at == real.at);
  for (std::size_t i = 0; i < kMemoryCategories; ++i) {
    INFO(name_of(static_cast<MemoryCategory>(i)));
    CHECK(dry.bytes[i] == real.bytes[i]);
  }
  CHECK(dry.work.matmul_flops == real.work.matmul_flops);
  CHECK(dry.work.attention_flops == real.work.attention_flops);
  CHECK(dry.sent == real.sent);
  CHECK(dry.step_tokens == real.step_tokens);
  CHECK(dry.step_flops == real.step_flops);
}

void check_every_rank(const Config& config, int ranks) {
  PosixFileSystem files;
  const std::vector<DryRun> real = real_runs(config, ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    INFO("rank " << rank);
    check_same(dry_run(config, files, {.ranks = ranks, .rank = rank}), real[static_cast<std::size_t>(rank)]);
  }
}

Config with(const ParallelConfig& parallel) {
  Config config = parallel_config();
  config.parallel = parallel;
  return config;
}

}  // namespace

TEST_CASE("bytes, FLOPs and traffic of a dry run are those of the real first step, on every layout") {
  check_every_rank(with({}), 1);
  check_every_rank(with({.zero = 1}), 2);
  check_every_rank(with({.replicate = 2, .zero = 3}), 4);
  check_every_rank(with({.tensor = 2, .context = 2}), 4);
  check_every_rank(with({.context = 2, .pipeline = 2, .zero = 3}), 4);
  check_every_rank(with({.tensor = 2, .pipeline = 2, .schedule = "zb-h1"}), 8);
}

TEST_CASE(
    "bytes and traffic of a dry run are those of the real first step where ZeRO-3 holds weights for runs") {
  for (const auto& [schedule, stages] :
       {std::pair{"gpipe", 1}, {"1f1b", 1}, {"interleaved", 2}, {"zb-h1", 1}, {"zb-v", 2}})
    for (const std::int64_t stretch : {1, 2, 4}) {
      ParallelConfig parallel{
          .pipeline = 2, .zero = 3, .schedule = schedule, .virtual_stages = stages, .stretch = stretch};
      if (schedule == std::string("interleaved") && stretch < 2) continue;
      Config config = with(parallel);
      config.model.num_hidden_layers = 8;
      config.train.microbatch_sequences = 1;
      INFO(schedule << ", N = " << stretch);
      check_every_rank(config, 4);
    }
}

TEST_CASE("a dry run counts the work of recomputing, as a real one does") {
  Config config = with({.pipeline = 2});
  for (const char* recompute : {"none", "selective", "full"}) {
    config.train.recompute = recompute;
    check_every_rank(config, 2);
  }
}

TEST_CASE("the 8.4M model in bfloat16: a dry run's bytes and FLOPs are the real run's") {
  Config config = parallel_config();
  config.model = {.hidden_size = 256,
                  .num_hidden_layers = 8,
                  .num_attention_heads = 8,
                  .num_key_value_heads = 4,
                  .intermediate_size = 768,
                  .vocab_size = 8192,
                  .tie_word_embeddings = true};
  config.data.synthetic->vocab_size = 8192;
  config.train = {
      .dtype = "bfloat16", .sequence_length = 64, .batch_tokens = 256, .microbatch_sequences = 2, .steps = 1};
  check_every_rank(config, 1);
  check_every_rank(config, 2);
}

}  // namespace drover
