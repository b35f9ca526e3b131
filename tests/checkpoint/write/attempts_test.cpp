#include "checkpoint/write/attempts.h"

#include "checkpoint/read/inspect.h"
#include "checkpoint/write/directory.h"
#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

namespace {

const std::filesystem::path kSection = "run/checkpoints";

std::vector<std::string> accepted_paths(FileSystem& files) {
  std::vector<std::string> paths;
  for (const AcceptedCheckpoint& checkpoint : accepted_checkpoints(files, kSection))
    paths.push_back(checkpoint.path);
  return paths;
}
using Paths = std::vector<std::string>;

// Attempt 1 has committed step 100, and is stopped when step 200 lacks nothing but its name.
std::unique_ptr<RecordingFileSystem> stopped_before_its_rename() {
  auto files = empty_run();
  save(*files, {.step = 100});
  save(*files, {.step = 200});
  files->rename(kSection / "attempt_1/step_0000000200", kSection / "attempt_1/step_0000000200.partial");
  return files;
}

const CommitPlace kLate{.checkpoints = kSection, .attempt = 1, .step = 200};

}  // namespace

TEST_CASE("attempts take numbers that nobody has had, and close the folders of those before") {
  const auto files = empty_run();
  CHECK(claim_attempt(*files, kSection) == 0);
  CHECK(claim_attempt(*files, kSection, 0) == 1);
  CHECK(claim_attempt(*files, kSection, 7) == 8);
  CHECK(claim_attempt(*files, kSection) == 9);
  CHECK(open_attempt(*files, kSection, 8) == kSection / "attempt_8");
  save(*files, {.step = 100, .attempt = 8});
  files->make_directory(kSection / "attempt_30.closed");
  for (const char* other : {"attempt_9223372036854775807", "attempt_31x", "attempt_031", "attempt_-1"})
    files->make_directory(kSection / other);
  CHECK(claim_attempt(*files, kSection) == 31);
  open_attempt(*files, kSection, 31);
  CHECK(files->exists(kSection / "attempt_8.closed/step_0000000100/manifest.json"));
  CHECK_FALSE(files->exists(kSection / "attempt_8"));
}

TEST_CASE("an attempt that saved nothing leaves no folder") {
  const auto files = empty_run();
  begin_attempt(*files, kSection, 1);
  begin_attempt(*files, kSection, 2);
  CHECK(files->list(kSection) == Paths{"attempt_1.json", "attempt_2", "attempt_2.json"});
  save(*files, {.step = 100, .attempt = 2});
  begin_attempt(*files, kSection, 3);
  CHECK(read_text(*files, kSection / "LATEST", 100) == "attempt_2.closed/step_0000000100\n");
}

TEST_CASE("what a late rank of a closed attempt commits fails, and is accepted by nobody") {
  const auto files = stopped_before_its_rename();
  begin_attempt(*files, kSection, 2);
  const std::string manifest =
      read_text(*files, kSection / "attempt_1.closed/step_0000000200.partial/manifest.json", 1 << 20);
  files->remove_file(kSection / "attempt_1.closed/step_0000000200.partial/manifest.json");
  CHECK(message_of([&] {
          commit_checkpoint(*files, kLate, manifest);
        }).find("a later attempt of the run has closed it") != std::string::npos);
  CHECK(message_of([&] {
          begin_checkpoint(*files, kLate, [](const std::string&) {});
        }).find("a later attempt of the run has closed it") != std::string::npos);
  CHECK(accepted_paths(*files) == Paths{"attempt_1.closed/step_0000000100"});
  CHECK(find(*files).directory == kSection / "attempt_1.closed/step_0000000100");
}

TEST_CASE("a late rename that a file system lets through lands where nobody looks, now and later") {
  const auto files = stopped_before_its_rename();
  begin_attempt(*files, kSection, 2);
  files->rename(kSection / "attempt_1.closed/step_0000000200.partial",
                kSection / "attempt_1.closed/step_0000000200");
  CHECK(verify_checkpoint(*files, kSection / "attempt_1.closed/step_0000000200").damage.empty());
  CHECK(accepted_paths(*files) == Paths{"attempt_1.closed/step_0000000100"});
  begin_attempt(*files, kSection, 3);
  CHECK(accepted_paths(*files) == Paths{"attempt_1.closed/step_0000000100"});
  save(*files, {.step = 150, .attempt = 3});
  begin_attempt(*files, kSection, 4);
  CHECK(accepted_paths(*files) ==
        Paths{"attempt_3.closed/step_0000000150", "attempt_1.closed/step_0000000100"});
}

TEST_CASE("a save of a whole attempt that was closed fails on every rank and changes nothing that counts") {
  const auto files = empty_run();
  save(*files, {.step = 100});
  save(*files, {.step = 120, .attempt = 2});
  CHECK(message_of([&] {
          save(*files, {.ranks = 3, .step = 200, .attempt = 1, .keep = 1});
        }).find("a later attempt of the run has closed it") != std::string::npos);
  CHECK(accepted_paths(*files) == Paths{"attempt_2/step_0000000120", "attempt_1.closed/step_0000000100"});
}

TEST_CASE(
    "an attempt that opens after a later one has opened commits nothing that counts, and removes nothing") {
  const auto files = empty_run();
  save(*files, {.step = 100});
  CHECK(claim_attempt(*files, kSection) == 2);
  save(*files, {.step = 120, .attempt = 3});
  CHECK(message_of([&] {
          open_attempt(*files, kSection, 2);
        }).find("a later attempt of the run has closed it") != std::string::npos);
  files->make_directory(kSection / "attempt_2");  // had it looked a moment before
  CHECK(message_of([&] {
          save(*files, {.step = 200, .attempt = 2, .keep = 1});
        }).find("a later attempt of the run has closed it") != std::string::npos);
  CHECK(files->exists(kSection / "attempt_2/step_0000000200"));
  const Paths counted{"attempt_3/step_0000000120", "attempt_1.closed/step_0000000100"};
  CHECK(accepted_paths(*files) == counted);
  save(*files, {.step = 130, .attempt = 4});
  CHECK(accepted_paths(*files) == Paths{"attempt_4/step_0000000130", "attempt_3.closed/step_0000000120",
                                        "attempt_1.closed/step_0000000100"});
}

TEST_CASE("until an attempt has recorded what it accepts, the one before counts") {
  const auto files = empty_run();
  save(*files, {.step = 100});
  CHECK(claim_attempt(*files, kSection) == 2);
  files->make_directory(kSection / "attempt_2");
  CHECK(save(*files, {.step = 200}) == kSection / "attempt_1/step_0000000200");
  files->rename(kSection / "attempt_1", kSection / "attempt_1.closed");
  CHECK(accepted_paths(*files) ==
        Paths{"attempt_1.closed/step_0000000200", "attempt_1.closed/step_0000000100"});
}

TEST_CASE("of one step the last attempt's checkpoint is taken, and what lies beside the attempts last") {
  const auto files = empty_run();
  save(*files, {.step = 100});
  save(*files, {.step = 100, .attempt = 2, .keep = 0});
  CHECK(accepted_paths(*files) == Paths{"attempt_2/step_0000000100"});  // the older one is superseded
  files->rename(kSection / "attempt_2/step_0000000100", kSection / "step_0000000100");
  files->make_directory(kSection / "step_0000000100.replaced");  // as a crash of format 1 left it
  save(*files, {.step = 200, .attempt = 3, .keep = 0});
  CHECK(accepted_paths(*files) ==
        Paths{"attempt_3/step_0000000200", "step_0000000100", "step_0000000100.replaced"});
}

TEST_CASE("checkpoints are purged over attempts, and an empty closed attempt goes with the last of them") {
  const auto files = empty_run();
  for (const std::int64_t step : {10, 20}) save(*files, {.step = step, .keep = 2});
  save(*files, {.step = 30, .attempt = 2, .keep = 2});
  CHECK(accepted_paths(*files) == Paths{"attempt_2/step_0000000030", "attempt_1.closed/step_0000000020"});
  save(*files, {.step = 40, .attempt = 2, .keep = 2});
  CHECK(accepted_paths(*files) == Paths{"attempt_2/step_0000000040", "attempt_2/step_0000000030"});
  CHECK_FALSE(files->exists(kSection / "attempt_1.closed"));
}

TEST_CASE("a record that is damaged is named, and nothing is taken in its place") {
  const auto files = empty_run();
  save(*files, {.step = 100});
  for (const char* text : {"{", "[]", "{\"accepts\": 3}", "{\"accepts\": [{\"attempt\": 1}]}"}) {
    write_text_atomically(*files, kSection / "attempt_1.json", text);
    CHECK(message_of([&] {
            accepted_checkpoints(*files, kSection);
          }).starts_with("run/checkpoints/attempt_1.json says"));
  }
}

}  // namespace drover
