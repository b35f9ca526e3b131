#include "checkpoint/read/named.h"

#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

namespace {

const std::filesystem::path kSection = "run/checkpoints";

// As every one of two ranks finds it.
std::string found(FileSystem& files, const std::string& named) {
  std::string path;
  run_local_ranks(2, [&](Communicator& world) {
    RankRig rig(world);
    const ReadTogether from{.files = files, .exec = rig.exec, .world = world, .directory = {}};
    const auto mine = find_named(from, named, [](const std::string&) {});
    if (world.rank() == 1) path = mine.string();
  });
  return path;
}

std::unique_ptr<RecordingFileSystem> two_attempts() {
  auto files = empty_run();
  save(*files, {.step = 100});
  save(*files, {.step = 200});
  save(*files, {.step = 150, .attempt = 2});
  return files;
}

}  // namespace

TEST_CASE("a run, a run's step, a folder and a checkpoint's own folder each name a checkpoint") {
  const auto files = two_attempts();
  const std::string newest = "run/checkpoints/attempt_1.closed/step_0000000200";
  for (const char* name : {"run", "run/", "run/checkpoints", "run:200", "run:step_200", "run:step_0000000200",
                           "run/checkpoints:200", "run/checkpoints/attempt_1.closed", newest.c_str()})
    CHECK(found(*files, name) == newest);
  CHECK(found(*files, "run:150") == "run/checkpoints/attempt_2/step_0000000150");
  CHECK(message_of([&] {
          found(*files, "run:151");
        }).find("run/checkpoints has no checkpoint of step 151; it has 200, 150, 100") != std::string::npos);
  files->make_directory("other");
  CHECK(message_of([&] { found(*files, "other"); }).find("other holds no checkpoint") != std::string::npos);
  CHECK(message_of([&] { found(*files, "nothing"); }).find("nothing: No such file") != std::string::npos);
}

TEST_CASE("of one step, a run's name means the newest accepted") {
  const auto files = two_attempts();
  save(*files, {.step = 300, .attempt = 3, .keep = 0});
  files->rename(kSection / "attempt_3/step_0000000300",
                kSection / "attempt_1.closed/step_0000000300");  // a late rank's
  CHECK(message_of([&] { found(*files, "run:300"); }).find("has no checkpoint of step 300") !=
        std::string::npos);
  CHECK(found(*files, "run") == "run/checkpoints/attempt_1.closed/step_0000000200");
}

TEST_CASE("a checkpoint is found by its old name when its attempt was closed") {
  const auto files = two_attempts();
  CHECK(found(*files, "run/checkpoints/attempt_1/step_0000000100") ==
        "run/checkpoints/attempt_1.closed/step_0000000100");
}

TEST_CASE("a checkpoint that is moved while it is read is read where it is then, once") {
  const auto files = two_attempts();
  std::atomic<int> calls = 0, warned = 0;
  const auto use_twice = [&](const std::string& named, bool closes) {
    run_local_ranks(1, [&](Communicator& world) {
      RankRig rig(world);
      const ReadTogether from{.files = *files, .exec = rig.exec, .world = world, .directory = {}};
      use_checkpoint(
          from, named, [&](const std::string&) { ++warned; },
          [&](const std::filesystem::path& directory) {
            if (++calls == 1 && closes) begin_attempt(*files, kSection, 3);
            load_checkpoint(*files, rig.exec, world, directory, {});
          });
    });
  };
  use_twice("run:150", true);
  CHECK((calls == 2 && warned == 1));
  files->bytes(kSection / "attempt_2.closed/step_0000000150/manifest.json")[9] ^= std::byte{1};
  calls = 0;
  CHECK(message_of([&] { use_twice("run:150", false); }).find("does not match its own digest") !=
        std::string::npos);
  CHECK(calls == 1);
}

TEST_CASE("all checkpoints of a run are listed, the newest first") {
  const auto files = two_attempts();
  const std::vector<std::filesystem::path> all{kSection / "attempt_1.closed/step_0000000200",
                                               kSection / "attempt_2/step_0000000150",
                                               kSection / "attempt_1.closed/step_0000000100"};
  CHECK(all_named(*files, "run") == all);
  CHECK(all_named(*files, "run:150") == std::vector{all[1]});
}

}  // namespace drover
