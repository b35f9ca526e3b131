#include "checkpoint/write/directory.h"
#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

TEST_CASE("a checkpoint of any cut loads into any other cut and number of ranks with equal bits") {
  const auto files = empty_run();
  constexpr std::array kRanks{1, 2, 3, 4, 8};
  std::int64_t step = 0;
  std::size_t loads = 0;
  for (const Cut written : kCuts) {
    for (const int ranks : kRanks) {
      const auto directory = save(*files, {.ranks = ranks, .cut = written, .step = ++step, .keep = 0});
      for (const Cut wanted : kCuts) {
        // Each of the numbers of readers meets each cut on either side.
        const int readers = kRanks[(loads++ + static_cast<std::size_t>(step) / 5) % kRanks.size()];
        CAPTURE(static_cast<int>(written), ranks, static_cast<int>(wanted), readers);
        CHECK(count_wrong(*files, directory, {.ranks = readers, .cut = wanted}) == 0);
      }
    }
  }
}

TEST_CASE("every dtype is stored as its bits") {
  const auto files = empty_run();
  std::int64_t step = 0;
  for (const DType dtype :
       {DType::float64, DType::float32, DType::bfloat16, DType::int64, DType::int32, DType::uint8}) {
    CAPTURE(name_of(dtype));
    const auto directory = save(*files, {.ranks = 3, .step = ++step, .dtype = dtype});
    CHECK(count_wrong(*files, directory, {.ranks = 2, .cut = Cut::columns, .dtype = dtype}) == 0);
  }
}

TEST_CASE("the run's state comes back as it was saved, on every rank") {
  const auto files = empty_run();
  const auto directory = save(*files, {.ranks = 2, .step = 7});
  std::atomic<int> same = 0;
  run_local_ranks(3, [&](Communicator& world) {
    RankRig rig(world);
    const RunState state = load_checkpoint(*files, rig.exec, world, directory, {});
    const RunState saved = run_state(7);
    same += state.step == saved.step && state.tokens == saved.tokens && state.rows == saved.rows &&
            state.feeds == saved.feeds && state.fingerprint == saved.fingerprint &&
            state.tokenizer == saved.tokenizer && state.config == saved.config &&
            state.flops == saved.flops && state.effective_seconds == saved.effective_seconds &&
            state.wall_seconds == saved.wall_seconds && state.attempt == saved.attempt;
  });
  CHECK(same == 3);
}

TEST_CASE("the newest checkpoint is found, on every number of ranks") {
  const auto files = empty_run();
  CHECK_FALSE(find(*files).directory);
  save(*files, {.step = 100});
  save(*files, {.step = 20});
  for (const int ranks : {1, 2, 3, 4, 8}) {
    const Found found = find(*files, "run/checkpoints", ranks);
    CHECK(found.directory == std::filesystem::path("run/checkpoints/attempt_1/step_0000000100"));
    CHECK(found.warnings.empty());
  }
}

TEST_CASE("the weight hash depends on values, step and feeds, not on layout or ranks") {
  const auto files = empty_run();
  std::int64_t attempt = 1;
  const std::string first = hash(*files, save(*files, {.step = 5, .keep = 0}));
  for (const Cut cut : kCuts) {
    for (const int ranks : {2, 3, 8}) {
      const auto directory = save(*files, {.ranks = ranks, .cut = cut, .step = 5, .attempt = ++attempt});
      CHECK(hash(*files, directory) == first);
      CHECK(hash(*files, directory, 3) == first);
    }
  }
  CHECK(hash(*files, save(*files, {.step = 6, .attempt = ++attempt})) != first);
  CHECK(hash(*files, save(*files, {.step = 5, .attempt = ++attempt, .generation = 1})) != first);
  CHECK(hash(*files, save(*files, {.step = 5, .attempt = ++attempt, .fed_ahead = 1})) != first);
}

TEST_CASE("the last checkpoints are kept, and LATEST names the last") {
  const auto files = empty_run();
  for (const std::int64_t step : {10, 20, 30, 40}) save(*files, {.ranks = 2, .step = step, .keep = 2});
  CHECK(files->list("run/checkpoints/attempt_1") ==
        std::vector<std::string>{"step_0000000030", "step_0000000040"});
  CHECK(read_text(*files, "run/checkpoints/LATEST", 100) == "attempt_1/step_0000000040\n");
}

}  // namespace drover
