// The steps of the commit protocol that one rank (0) takes, in the folder of its attempt
// (checkpoint/write/attempts.h). Files alone, no communicator. All throw FileError where the file system fails, and
// Error{input} where a later attempt has closed this one.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "core/files/filesystem.h"

namespace drover {

// Where an attempt commits a step.
struct CommitPlace {
  std::filesystem::path checkpoints;  // <run>/checkpoints
  std::int64_t attempt = 0;
  std::int64_t step = 0;

  std::filesystem::path folder() const;     // checkpoints/attempt_K
  std::filesystem::path partial() const;    // checkpoints/attempt_K/step_N.partial
  std::filesystem::path committed() const;  // checkpoints/attempt_K/step_N
};

// Told what could not be removed, and why: it stays, and the run goes on beside it.
using Warn = std::function<void(const std::string&)>;

// Removes what unfinished saves and removals of this attempt and earlier ones left, and makes step_N.partial/. Only what
// has that name must go; of the rest `warn` is told.
void begin_checkpoint(FileSystem& files, const CommitPlace& place, const Warn& warn);
// Gives up a checkpoint that was begun. Best effort: runs while another error is on its way.
void abandon_checkpoint(FileSystem& files, const CommitPlace& place) noexcept;

// Everything else in step_N.partial/ is written and synced. Writes the manifest, renames, moves LATEST.
void commit_checkpoint(FileSystem& files, const CommitPlace& place, std::string_view manifest);
// After the commit: keeps `keep` accepted checkpoints with intact manifests up to that step, itself included, and removes
// the older ones, as well as those of the same step by earlier attempts. Those of later steps belong to a timeline that
// was left, and stay. keep = 0 keeps all but the step's older ones. One that holds a folder, which nothing here made,
// keeps its name and its files; `warn` is told.
void purge_checkpoints(FileSystem& files, const CommitPlace& place, int keep, const Warn& warn);

}  // namespace drover
