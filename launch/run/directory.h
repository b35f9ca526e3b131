// A run's folder: config.yaml, run.json, metrics.jsonl, logs/, checkpoints/, result.json. Rank 0 writes it,
// except that every rank has its log file. Bytes go through FileSystem; the live-run lock is the operating
// system's own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "core/files/filesystem.h"

namespace drover {

// Held from the start of an attempt to the end of its process, however it ends (an advisory lock on `lock`,
// which the system drops with its owner).
class RunLock {
 public:
  // Error{usage} naming the owner's host, process and age when another live process holds it.
  explicit RunLock(const std::filesystem::path& run);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_ = -1;
};

// What run.json keeps of an attempt.
struct AttemptInfo {
  std::int64_t ranks = 1;
  std::string mesh;         // "tp1 cp1 pp1 shard2 replicate1 (2 ranks)"
  std::string fingerprint;  // numerics (RunState)
};

class RunDirectory {
 public:
  RunDirectory(FileSystem& files, const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path config() const { return path_ / "config.yaml"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path result() const { return path_ / "result.json"; }
  std::filesystem::path rank_log(std::int64_t attempt, int rank) const;
  // A first start that failed leaves logs, but neither settings nor a checkpoint.
  bool holds_a_run() const;
  // Whether result.json is of a run that was complete at `step`.
  bool was_done_at(std::int64_t step) const;

  // Makes the folder and its parents.
  void make();
  // Takes the next number (from 1), makes the folder that the attempt commits into, closes those of earlier attempts
  // (checkpoint/write/attempts.h), adds the attempt to run.json and makes its log folder.
  std::int64_t begin_attempt(const AttemptInfo& info);
  // Renames accepted checkpoints newer than `step` to set_aside/attempt_<k>/, each below the name of its own attempt;
  // returns how many. Nothing is deleted.
  int set_newer_checkpoints_aside(std::int64_t step, std::int64_t attempt);

 private:
  void make_directory(const std::filesystem::path& directory);

  FileSystem& files_;
  std::filesystem::path path_;
};

// Lines at the end of a file that lives through attempts. A line that a crash cut off is closed first.
class LineFile {
 public:
  LineFile(FileSystem& files, const std::filesystem::path& path);
  void append(const std::string& line);

 private:
  std::unique_ptr<File> file_;
  std::int64_t end_ = 0;
};

}  // namespace drover
