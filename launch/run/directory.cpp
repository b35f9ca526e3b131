#include "launch/run/directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "checkpoint/format/names.h"
#include "checkpoint/write/attempts.h"
#include "core/base/json_text.h"
#include "launch/process/build_identity.h"
#include "launch/process/process.h"

namespace drover {

namespace {

using Json = nlohmann::ordered_json;
constexpr std::int64_t kMaxRunJson = 64 << 20;

// Who holds the lock, as it wrote into the file: "HOST process PID, started TIME".
std::string owner_of(int descriptor) {
  char text[512] = {};
  const ssize_t got = pread(descriptor, text, sizeof text - 1, 0);
  const std::string owner(text, got > 0 ? static_cast<std::size_t>(got) : 0);
  std::int64_t started = 0;
  const std::size_t at = owner.rfind(' ');
  if (at != std::string::npos) std::from_chars(owner.data() + at + 1, owner.data() + owner.size(), started);
  if (started == 0) return "a process that has not said who it is";
  return cat(owner.substr(0, at), ", running for ", std::time(nullptr) - started, " s");
}

std::string new_run_id() {
  std::random_device device;
  char text[17];
  std::snprintf(text, sizeof text, "%08x%08x", device(), device());
  return text;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// Discarded where the text is no JSON.
Json parse_json(const std::string& text) {
  return json_is_deeper_than(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
}

Json read_run_json(FileSystem& files, const std::filesystem::path& path) {
  if (!files.exists(path)) return Json{{"run_id", new_run_id()}, {"attempts", Json::array()}};
  const Json run = parse_json(read_text(files, path, kMaxRunJson));
  if (!run.is_object() || !run.contains("attempts") || !run["attempts"].is_array())
    throw input_error(path.string(), " is not a run's run.json; move it away or choose another run.dir");
  return run;
}

std::int64_t last_attempt(const Json& attempts) {
  if (attempts.empty() || !attempts.back().is_object()) return 0;
  const auto number = attempts.back().find("attempt");
  return number != attempts.back().end() && number->is_number_integer() ? number->get<std::int64_t>() : 0;
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& run) {
  const std::string path = run / "lock";
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw FileError("open", path, errno);
  if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int code = errno;
    const std::string owner = owner_of(descriptor_);
    ::close(descriptor_);
    if (code != EWOULDBLOCK) throw FileError("lock", path, code);
    throw usage_error(run.string(), " is in use: ", owner,
                      ". Wait for it, stop it, or choose another run.dir");
  }
  const std::string text = cat(host_name(), " process ", getpid(), " ", std::time(nullptr));
  if (ftruncate(descriptor_, 0) != 0 || pwrite(descriptor_, text.data(), text.size(), 0) < 0)
    throw FileError("write", path, errno);
}

RunLock::~RunLock() { ::close(descriptor_); }

std::filesystem::path RunDirectory::rank_log(std::int64_t attempt, int rank) const {
  return path_ / "logs" / cat("attempt_", attempt) / cat("rank_", rank, ".log");
}

void RunDirectory::make_directory(const std::filesystem::path& directory) {
  if (directory.empty() || files_.exists(directory)) return;
  make_directory(directory.parent_path());
  files_.make_directory(directory);
}

RunDirectory::RunDirectory(FileSystem& files, const std::filesystem::path& path)
    : files_(files), path_(path.lexically_normal()) {
  if (path_.filename().empty()) path_ = path_.parent_path();  // "runs/name/"
}

bool RunDirectory::holds_a_run() const {
  return files_.exists(config()) || !accepted_checkpoints(files_, checkpoints()).empty();
}

bool RunDirectory::was_done_at(std::int64_t step) const {
  if (!files_.exists(result())) return false;
  const Json json = parse_json(read_text(files_, result(), kMaxRunJson));
  return json.is_object() && json.value("exit_reason", Json()) == "done" &&
         json.value("step", Json()) == step;
}

void RunDirectory::make() {
  make_directory(path_);
  make_directory(checkpoints());
}

std::int64_t RunDirectory::begin_attempt(const AttemptInfo& info) {
  const std::filesystem::path path = path_ / "run.json";
  Json run = read_run_json(files_, path);
  // Runs of older versions have their attempts' numbers in run.json alone; a first attempt is number 1.
  const std::int64_t number = claim_attempt(files_, checkpoints(), last_attempt(run["attempts"]));
  open_attempt(files_, checkpoints(), number);
  run["attempts"].push_back({{"attempt", number},
                             {"started", utc_now()},
                             {"host", host_name()},
                             {"ranks", info.ranks},
                             {"mesh", info.mesh},
                             {"fingerprint", info.fingerprint},
                             {"version", build_version()},
                             {"commit", build_commit()},
                             {"build", build_options()},
                             {"libraries", library_versions()}});
  write_text_atomically(files_, path, run.dump(2) + "\n");
  make_directory(path_ / "logs" / cat("attempt_", number));
  return number;
}

int RunDirectory::set_newer_checkpoints_aside(std::int64_t step, std::int64_t attempt) {
  const std::filesystem::path aside = path_ / "set_aside" / cat("attempt_", attempt);
  std::set<std::filesystem::path> changed{path_};
  int moved = 0;
  for (const AcceptedCheckpoint& checkpoint : accepted_checkpoints(files_, checkpoints())) {
    if (checkpoint.step <= step) continue;
    const std::filesystem::path from = checkpoints() / checkpoint.path;
    const std::filesystem::path folder =
        checkpoint.attempt == kNoAttempt ? aside : aside / attempt_name(checkpoint.attempt);
    make_directory(folder);
    files_.rename(from, folder / from.filename());
    changed.insert({from.parent_path(), folder, aside, aside.parent_path()});
    ++moved;
  }
  for (const std::filesystem::path& folder : changed) files_.sync_directory(folder);
  return moved;
}

LineFile::LineFile(FileSystem& files, const std::filesystem::path& path)
    : file_(files.open(path, files.exists(path) ? OpenMode::update : OpenMode::create)), end_(file_->size()) {
  std::byte last{'\n'};
  if (end_ > 0) file_->read({&last, 1}, end_ - 1);
  if (last != std::byte{'\n'}) append("");
}

void LineFile::append(const std::string& line) {
  const std::string text = line + "\n";
  file_->write(bytes_of(text), end_);
  end_ += static_cast<std::int64_t>(text.size());
}

}  // namespace drover
