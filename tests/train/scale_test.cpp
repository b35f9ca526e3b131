// Llama 3 405B on as many ranks as it was trained on, and eight times as many: what one rank builds before it talks to
// any other must stay small.
#include <algorithm>

#include "tests/support/process_memory.h"
#include "tests/support/test_support.h"
#include "train/dry_run.h"

namespace drover {

namespace {

// Layouts of arXiv 2407.21783, table 4; the second is its long-context stage.
Config llama3_405b(std::int64_t context, std::int64_t sequence_length) {
  Config config;
  config.model = {.hidden_size = 16384,
                  .num_hidden_layers = 126,
                  .num_attention_heads = 128,
                  .num_key_value_heads = 8,
                  .intermediate_size = 53248,
                  .vocab_size = 128256};
  config.data.synthetic = SyntheticOptions{.documents = 1'000'000,
                                           .vocab_size = config.model.vocab_size,
                                           .median_length = 400,
                                           .sigma = 1.5,
                                           .max_length = 131'072};
  config.train = {.sequence_length = sequence_length, .batch_tokens = 16 << 20, .steps = 1000};
  config.optimizer.warmup_steps = 0;
  config.parallel = {
      .tensor = 8, .context = context, .pipeline = 16, .schedule = "interleaved", .virtual_stages = 8};
  return config;
}

}  // namespace

TEST_CASE(
    "one rank of 16,384 and of 131,072 builds mesh, layouts, schedule, groups and sampler of 405B in 100 "
    "MB") {
  PosixFileSystem files;
  std::int64_t most = 0;  // kilobytes
  for (const int ranks : {16'384, 131'072})
    for (const auto& [context, sequence_length] : {std::pair{1, 8192}, {16, 131'072}}) {
      INFO(ranks << " ranks, context " << context);
      const Config config = llama3_405b(context, sequence_length);
      DryRun run;
      most = std::max(
          most, growth_kilobytes([&] { run = dry_run(config, files, {.ranks = ranks, .rank = ranks - 1}); }));
      CHECK(run.at.pipeline == 15);
      CHECK(run.at.tensor == 7);
      CHECK(run.work.matmul_flops > 0);
    }
  if (!kAnonymousMemoryIsOurs)
    DROVER_SKIP_TEST("train/scale memory",
                     "the thread sanitizer keeps memory of its own for what is touched");
  CHECK(most < 100'000);
}

}  // namespace drover
