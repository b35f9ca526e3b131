// Llama 3 405B on as many ranks as it was trained on, and eight times as many: what one rank builds before it talks to
// any other must stay small.
#include <algorithm>

#include "tests/support/llama3_405b.h"
#include "tests/support/process_memory.h"
#include "tests/support/test_support.h"
#include "train/dry_run.h"
#include "train/training.h"

namespace drover {

TEST_CASE("405B balanced has one block fewer on the first and the last stage, as its paper has") {
  const Config config = llama3_405b(1, 8192);
  std::vector<int> blocks(16, 8);
  blocks.front() = blocks.back() = 7;
  CHECK(blocks_of_stages(config, 16) == blocks);
  blocks.assign(128, 1);
  blocks.front() = blocks.back() = 0;
  CHECK(blocks_of_stages(config, 128) == blocks);
}

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
    DROVER_SKIP_TEST("uninstrumented", "the thread sanitizer keeps memory of its own for what is touched");
  CHECK(most < 100'000);
}

}  // namespace drover
