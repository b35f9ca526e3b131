#include "launch/run/directory.h"

#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

using namespace drover;

namespace {

std::string text_of(FileSystem& files, const std::filesystem::path& path) {
  return read_text(files, path, 1 << 20);
}

// What the lock of `run` says to another process; empty: it got the lock.
std::string lock_in_another_process(const std::filesystem::path& run) {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    std::string message;
    try {
      const RunLock lock(run);
    } catch (const Error& error) {
      message = error.what();
    }
    const bool written =
        write(pipe_ends[1], message.data(), message.size()) == static_cast<ssize_t>(message.size());
    _exit(written ? 0 : 1);
  }
  close(pipe_ends[1]);
  std::string message;
  char piece[256];
  for (ssize_t got; (got = read(pipe_ends[0], piece, sizeof piece)) > 0;)
    message.append(piece, static_cast<std::size_t>(got));
  close(pipe_ends[0]);
  waitpid(child, nullptr, 0);
  return message;
}

}  // namespace

TEST_CASE("a second start against a live run is refused and names the owner") {
  const TemporaryFolder folder;
  {
    const RunLock lock(folder.path());
    const std::string message = lock_in_another_process(folder.path());
    CHECK(message.find("is in use") != std::string::npos);
    CHECK(message.find(cat("process ", getpid())) != std::string::npos);
  }
  CHECK(lock_in_another_process(folder.path()).empty());
}

TEST_CASE("attempts are numbered from one, and run.json keeps all of them and the run's id") {
  const TemporaryFolder folder;
  PosixFileSystem files;
  RunDirectory run(files, folder.path() / "a" / "b");
  run.make();
  CHECK(run.begin_attempt({.ranks = 2, .mesh = "m", .fingerprint = "f"}) == 1);
  const auto before = nlohmann::json::parse(text_of(files, run.path() / "run.json"));
  CHECK(run.begin_attempt({.ranks = 3, .mesh = "m", .fingerprint = "f"}) == 2);
  const auto after = nlohmann::json::parse(text_of(files, run.path() / "run.json"));
  CHECK(after["run_id"] == before["run_id"]);
  CHECK(after["attempts"].size() == 2);
  CHECK(after["attempts"][0] == before["attempts"][0]);
  CHECK(after["attempts"][1]["ranks"] == 3);
  for (const char* library : {"HDF5 ", "PCRE2 ", "Zstandard "})
    CHECK(after["attempts"][1]["libraries"].get<std::string>().find(library) != std::string::npos);
  CHECK(files.kind(run.rank_log(2, 0).parent_path()) == FileKind::directory);
}

TEST_CASE("settings or a checkpoint make a folder a run; that an attempt began does not") {
  const TemporaryFolder folder;
  PosixFileSystem files;
  for (const char* entry : {"config.yaml", "checkpoints/step_0000000010"}) {
    RunDirectory run(files, folder.path() / (std::string(entry) == "config.yaml" ? "a" : "b"));
    CHECK_FALSE(run.holds_a_run());
    run.make();
    run.begin_attempt({});
    CHECK_FALSE(run.holds_a_run());
    files.make_directory(run.path() / entry);
    CHECK(run.holds_a_run());
  }
}

TEST_CASE("a run.json of something else is refused and left alone") {
  const TemporaryFolder folder;
  PosixFileSystem files;
  RunDirectory run(files, folder.path());
  run.make();
  for (const char* text : {"{}", "[1]", "{\"attempts\": 3}", "no json"}) {
    write_text_atomically(files, run.path() / "run.json", text);
    CHECK_THROWS_AS(run.begin_attempt({}), Error);
    CHECK(text_of(files, run.path() / "run.json") == text);
  }
}

TEST_CASE("a result is of a complete run when it says so of the very step") {
  const TemporaryFolder folder;
  PosixFileSystem files;
  const RunDirectory run(files, folder.path());
  CHECK_FALSE(run.was_done_at(8));
  for (const char* text :
       {"{\"exit_reason\": \"done\", \"step\": 7}", "{\"exit_reason\": \"stopped\", \"step\": 8}",
        "{\"exit_reason\": 8, \"step\": \"done\"}", "[8]", "no json", ""}) {
    write_text_atomically(files, run.result(), text);
    CHECK_FALSE(run.was_done_at(8));
  }
  write_text_atomically(files, run.result(), "{\"exit_reason\": \"done\", \"step\": 8}");
  CHECK(run.was_done_at(8));
}

TEST_CASE("an attempt takes a number that neither run.json nor a folder knows, and closes the one before") {
  const TemporaryFolder folder;
  PosixFileSystem files;
  RunDirectory run(files, folder.path());
  run.make();
  write_text_atomically(files, run.path() / "run.json",
                        "{\"attempts\": [{\"attempt\": 4}]}");  // of an older version
  CHECK(run.begin_attempt({}) == 5);
  files.make_directory(run.checkpoints() / "attempt_5" / "step_0000000010");
  files.remove_file(run.path() / "run.json");
  CHECK(run.begin_attempt({}) == 6);
  CHECK(files.list(run.checkpoints()) == std::vector<std::string>{"LATEST", "attempt_5.closed",
                                                                  "attempt_5.json", "attempt_6",
                                                                  "attempt_6.json"});
}

TEST_CASE("newer checkpoints are set aside, not deleted, and nothing else moves") {
  const TemporaryFolder folder;
  PosixFileSystem files;
  RunDirectory run(files, folder.path());
  run.make();
  files.make_directory(run.checkpoints() / "attempt_3.closed");
  for (const char* name : {"step_0000000010", "step_0000000020", "step_0000000030", "step_x", "other"})
    files.make_directory(run.checkpoints() / name);
  for (const char* name : {"step_0000000005", "step_0000000020"})
    files.make_directory(run.checkpoints() / "attempt_3.closed" / name);
  CHECK(run.set_newer_checkpoints_aside(10, 4) == 3);
  CHECK(files.list(run.checkpoints()) ==
        std::vector<std::string>{"attempt_3.closed", "other", "step_0000000010", "step_x"});
  CHECK(files.list(run.checkpoints() / "attempt_3.closed") == std::vector<std::string>{"step_0000000005"});
  CHECK(files.list(run.path() / "set_aside" / "attempt_4") ==
        std::vector<std::string>{"attempt_3", "step_0000000020", "step_0000000030"});
  CHECK(files.list(run.path() / "set_aside" / "attempt_4" / "attempt_3") ==
        std::vector<std::string>{"step_0000000020"});
}

TEST_CASE("a line that a crash cut off is closed before the next one") {
  const TemporaryFolder folder;
  PosixFileSystem files;
  const auto path = folder.path() / "metrics.jsonl";
  LineFile(files, path).append("{\"step\":1}");
  files.open(path, OpenMode::update)->write(bytes_of("{\"st"), 11);
  LineFile(files, path).append("{\"step\":2}");
  CHECK(text_of(files, path) == "{\"step\":1}\n{\"st\n{\"step\":2}\n");
}
