#include "checkpoint/read/inspect.h"
#include "checkpoint/write/directory.h"
#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

namespace {

// What one save does to a file system that holds older checkpoints.
struct Recorded {
  std::unique_ptr<RecordingFileSystem> before;
  std::vector<RecordingFileSystem::Change> changes;
  TestSave save;
};

const std::filesystem::path kSection = "run/checkpoints";

TestSave saving(std::int64_t step, int generation, int keep, std::int64_t attempt = 1) {
  return {
      .ranks = 2, .cut = Cut::rows, .step = step, .attempt = attempt, .generation = generation, .keep = keep};
}

// Of a save alone: its attempt has begun before.
Recorded record(const std::vector<TestSave>& earlier, const TestSave& now) {
  const auto files = empty_run();
  for (const TestSave& save : earlier) testing::save(*files, save);
  if (!files->exists(kSection / record_name(now.attempt))) begin_attempt(*files, kSection, now.attempt);
  Recorded recorded{.before = std::make_unique<RecordingFileSystem>(*files), .changes = {}, .save = now};
  RecordingFileSystem working(*files);
  testing::save(working, now);
  recorded.changes = working.changes();
  return recorded;
}

std::unique_ptr<RecordingFileSystem> after(const Recorded& recorded, std::size_t changes, Crash how) {
  auto files = std::make_unique<RecordingFileSystem>(*recorded.before);
  for (std::size_t i = 0; i < changes; ++i) files->apply(recorded.changes[i]);
  files->crash(how);
  return files;
}

// The generation whose values the found checkpoint has, -1 if there is none or it is not whole.
int found_generation(RecordingFileSystem& files, std::initializer_list<int> generations) {
  const Found found = find(files);
  if (!found.directory) return -1;
  for (const int generation : generations) {
    if (count_wrong(files, *found.directory, {.ranks = 1, .cut = Cut::first, .generation = generation}) == 0)
      return generation;
  }
  return -1;
}

// The names in every folder of checkpoints/ that are not of a whole checkpoint.
std::vector<std::string> leftovers(RecordingFileSystem& files) {
  std::vector<std::string> found;
  for (const std::string& folder : folders_up_to(files, kSection, 1000)) {
    for (const std::string& name : files.list(folder.empty() ? kSection : kSection / folder))
      if (step_of_partial(name)) found.push_back(folder + "/" + name);
  }
  return found;
}

// The run goes on from what a crash left: by an attempt of its own, which saves the step again.
void check_goes_on(RecordingFileSystem& files, TestSave again) {
  ++again.attempt;
  again.generation = 7;
  save(files, again);
  REQUIRE(found_generation(files, {7}) == 7);
  REQUIRE(leftovers(files).empty());
  for (const AcceptedCheckpoint& checkpoint : accepted_checkpoints(files, kSection))
    REQUIRE((checkpoint.attempt == again.attempt || checkpoint.step < again.step));
}

void check_every_crash(const Recorded& recorded, int old_generation) {
  const int next = recorded.save.generation;
  for (const Crash how : {Crash::process, Crash::power, Crash::names}) {
    bool committed = false;
    for (std::size_t changes = 0; changes <= recorded.changes.size(); ++changes) {
      CAPTURE(static_cast<int>(how), changes, recorded.changes.size());
      const auto files = after(recorded, changes, how);
      const int generation = found_generation(*files, {old_generation, next});
      REQUIRE(generation == (committed ? next : generation));  // once committed, never lost
      REQUIRE(generation != -1);
      committed = committed || generation == next;
      for (const AcceptedCheckpoint& checkpoint : accepted_checkpoints(*files, kSection))
        REQUIRE(verify_checkpoint(*files, kSection / checkpoint.path).damage.empty());
      check_goes_on(*files, recorded.save);
    }
    CHECK(committed);
  }
}

}  // namespace

TEST_CASE("after a crash at any moment of a save, the old or the new checkpoint is found whole") {
  check_every_crash(record({saving(100, 1, 3)}, saving(200, 2, 3)), 1);
}

TEST_CASE("a crash while older checkpoints are purged loses none that is kept") {
  check_every_crash(record({saving(100, 0, 0), saving(200, 1, 0)}, saving(300, 2, 1)), 1);
}

TEST_CASE("a crash while a later attempt saves a step again leaves the one or the other") {
  check_every_crash(record({saving(100, 0, 0), saving(200, 1, 0)}, saving(200, 2, 3, 2)), 1);
}

TEST_CASE("a crash while a later attempt purges an earlier one's checkpoints loses none that is kept") {
  check_every_crash(record({saving(100, 0, 0), saving(200, 1, 0)}, saving(300, 2, 1, 2)), 1);
}

TEST_CASE(
    "a crash at any moment of the start of an attempt loses no checkpoint, and the next start goes on") {
  const auto files = empty_run();
  save(*files, saving(100, 0, 0));
  save(*files, saving(200, 1, 0));
  RecordingFileSystem working(*files);
  begin_attempt(working, kSection, 2);
  const Recorded recorded{.before = std::make_unique<RecordingFileSystem>(*files),
                          .changes = working.changes(),
                          .save = saving(300, 2, 0, 2)};
  for (const Crash how : {Crash::process, Crash::power, Crash::names}) {
    for (std::size_t changes = 0; changes <= recorded.changes.size(); ++changes) {
      CAPTURE(static_cast<int>(how), changes, recorded.changes.size());
      const auto left = after(recorded, changes, how);
      REQUIRE(found_generation(*left, {0, 1}) == 1);
      REQUIRE(accepted_checkpoints(*left, kSection).size() == 2);
      check_goes_on(*left, recorded.save);
    }
  }
}

namespace {

bool is_about_space(const std::string& text) {
  return text.find("No space left on device; free space there") != std::string::npos;
}

}  // namespace

TEST_CASE("a failing disk stops every rank and leaves the old checkpoints as they were") {
  const Recorded recorded = record({saving(100, 0, 0), saving(200, 1, 0)}, saving(300, 2, 1));
  const int changes = static_cast<int>(recorded.changes.size());
  for (const bool lasting : {false, true}) {
    bool committed = false;
    for (int at = 0; at < changes; ++at) {
      CAPTURE(lasting, at, changes);
      RecordingFileSystem files(*recorded.before);
      files.inject({.at = at, .code = ENOSPC, .lasting = lasting});
      std::atomic<int> failed = 0, warned = 0;
      run_local_ranks(2, [&](Communicator& world) {
        RankRig rig(world);
        RankState state(small_model(), Cut::rows, world.rank(), 2);
        state.fill(2);
        const std::string message = message_of([&] {
          save_checkpoint(files, rig.exec, world,
                          {.folder = kSection,
                           .entries = state.entries,
                           .state = run_state(300),
                           .keep = 1,
                           .warn = [&](const std::string& text) { warned += is_about_space(text); }});
        });
        failed += is_about_space(message);
      });
      REQUIRE((warned > 0 ? failed == 0 : failed == 2));  // removing older ones is no reason to fail
      files.heal();
      const int generation = found_generation(files, {1, 2});
      REQUIRE(generation != -1);
      REQUIRE((warned == 0 || generation == 2));
      REQUIRE(generation == (committed ? 2 : generation));
      committed = committed || generation == 2;
      REQUIRE((committed || files.exists(kSection / "attempt_1/step_0000000100")));
      REQUIRE((lasting || committed || !files.exists(kSection / "attempt_1/step_0000000300.partial")));
      check_goes_on(files, recorded.save);
    }
  }
}

TEST_CASE("what a killed save left is removed by the next") {
  const auto files = empty_run();
  save(*files, saving(100, 0, 3));
  for (const char* name : {"step_0000000150.partial", "step_0000000200.partial"}) {
    const auto directory = kSection / "attempt_1" / name;
    files->make_directory(directory);
    files->open(directory / "rank_00000.h5", OpenMode::create)->write(bytes_of("torn"), 0);
  }
  CHECK(find(*files).directory == kSection / "attempt_1/step_0000000100");
  CHECK(find(*files).warnings.empty());
  save(*files, saving(200, 0, 3));
  CHECK(files->list(kSection / "attempt_1") ==
        std::vector<std::string>{"step_0000000100", "step_0000000200"});
}

TEST_CASE("purging counts intact checkpoints only, and never removes the one just written or later ones") {
  const auto files = empty_run();
  for (const std::int64_t step : {100, 200, 300, 400}) save(*files, saving(step, 0, 0));
  files->bytes(kSection / "attempt_1/step_0000000200/manifest.json")[40] ^= std::byte{1};
  save(*files, saving(250, 1, 2));  // 300 and 400 were left behind by a run that resumed from 200
  CHECK(files->list(kSection / "attempt_1") == std::vector<std::string>{"step_0000000100", "step_0000000200",
                                                                        "step_0000000250", "step_0000000300",
                                                                        "step_0000000400"});
  save(*files, saving(260, 1, 2));
  CHECK(files->list(kSection / "attempt_1") ==
        std::vector<std::string>{"step_0000000250", "step_0000000260", "step_0000000300", "step_0000000400"});
}

TEST_CASE("a folder inside an old checkpoint or a leftover is kept, told, and stops no save") {
  const TemporaryFolder folder;
  PosixFileSystem files;
  const auto checkpoints = folder.path() / "checkpoints", own = checkpoints / "attempt_1",
             old = own / "step_0000000100";
  begin_attempt(files, checkpoints, 1);
  const auto save_step = [&](std::int64_t step) {
    std::vector<std::string> warnings;
    run_local_ranks(1, [&](Communicator& world) {
      RankRig rig(world);
      RankState state(small_model(), Cut::first, 0, 1);
      save_checkpoint(files, rig.exec, world,
                      {.folder = checkpoints,
                       .entries = state.entries,
                       .state = run_state(step),
                       .keep = 1,
                       .warn = [&](const std::string& text) { warnings.push_back(text); }});
    });
    return warnings;
  };
  CHECK(save_step(100).empty());
  std::filesystem::create_directories(old / "hf");
  std::filesystem::create_directories(own / "step_0000000050.partial" / "hf");
  for (const std::int64_t step : {200, 300}) {
    const std::vector<std::string> warnings = save_step(step);
    REQUIRE(warnings.size() == 2);
    CHECK(warnings[0].starts_with("attempt_1/step_0000000050.partial stays: "));
    CHECK(warnings[1].starts_with("attempt_1/step_0000000100 stays: "));
    CHECK(warnings[1].find("step_0000000100/hf: Is a directory") != std::string::npos);
    CHECK(files.exists(own / step_name(step) / "manifest.json"));
    CHECK(verify_checkpoint(files, old).damage.empty());
  }
  CHECK_FALSE(files.exists(own / "step_0000000200"));
  std::filesystem::remove_all(old / "hf");
  std::filesystem::remove_all(own / "step_0000000050.partial" / "hf");
  CHECK(save_step(400).empty());
  CHECK(files.list(own) == std::vector<std::string>{"step_0000000400"});
}

TEST_CASE("LATEST is a hint that nothing depends on") {
  const auto files = empty_run();
  save(*files, saving(100, 0, 3));
  for (const char* text : {"", "step_0000000999\n", "../../etc\n", "\0\xff"}) {
    write_text_atomically(*files, kSection / "LATEST", text);
    CHECK(find(*files).directory == kSection / "attempt_1/step_0000000100");
  }
  files->remove_file(kSection / "LATEST");
  CHECK(find(*files).directory == kSection / "attempt_1/step_0000000100");
}

TEST_CASE("pieces that do not cover each tensor exactly once are not committed") {
  const auto files = empty_run();
  begin_attempt(*files, kSection, 1);
  std::atomic<int> refused = 0;
  run_local_ranks(3, [&](Communicator& world) {
    RankRig rig(world);
    RankState state(small_model(), Cut::rows, world.rank() == 1 ? 0 : world.rank(), 3);  // 0 twice, no 1
    const std::string message = message_of([&] {
      save_checkpoint(*files, rig.exec, world,
                      {.folder = kSection, .entries = state.entries, .state = run_state(1)});
    });
    refused +=
        message.find("model.embed_tokens.weight moment1 do not cover it exactly once") != std::string::npos;
  });
  CHECK(refused == 3);
  CHECK(files->list(kSection / "attempt_1").empty());
}

}  // namespace drover
