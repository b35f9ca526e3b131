// Names in a run's checkpoints/ folder, and the steps of the commit protocol that one rank (0) takes. All
// throw FileError where the file system fails.
//
//   step_N            committed
//   step_N.partial    being written, or being removed; never read
//   step_N.replaced   committed, moved aside while another checkpoint of the same step takes its name
//   LATEST            name of the checkpoint committed last; for people, not read by Drover
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/files/filesystem.h"

namespace drover {

std::string step_name(std::int64_t step);     // "step_0000000500"
std::string partial_name(std::int64_t step);  // "step_0000000500.partial"
std::string shard_name(std::int64_t rank);    // "rank_00003.h5"
std::string table_name(std::int64_t rank);    // "rank_00003.json"

struct CommittedName {
  std::int64_t step = 0;
  bool replaced = false;
  std::string name;
};
// The newest first; of one step, the replaced one last. Names only, nothing is checked. None if the folder
// does not exist.
std::vector<CommittedName> committed_names(FileSystem& files, const std::filesystem::path& folder);

// Told what could not be removed, and why: it stays, and the run goes on beside it.
using Warn = std::function<void(const std::string&)>;

// Makes the folder if needed (its parent exists), removes what unfinished saves and removals left, and makes
// step_N.partial/. Only what has names that this step needs must go; of the rest `warn` is told.
void begin_checkpoint(FileSystem& files, const std::filesystem::path& folder, std::int64_t step,
                      const Warn& warn);
// Gives up a checkpoint that was begun. Best effort: runs while another error is on its way.
void abandon_checkpoint(FileSystem& files, const std::filesystem::path& partial) noexcept;

// Everything else in step_N.partial/ is written and synced. Writes the manifest, renames, moves LATEST.
void commit_checkpoint(FileSystem& files, const std::filesystem::path& folder, std::int64_t step,
                       std::string_view manifest);
// After the commit of step `newest`: removes what it replaced, keeps `keep` checkpoints with intact manifests up to that
// step, itself included, and removes the older ones. Those of later steps belong to a timeline that was left, and stay.
// keep = 0 keeps all. One that holds a folder, which nothing here made, keeps its name and its files; `warn` is told.
void purge_checkpoints(FileSystem& files, const std::filesystem::path& folder, std::int64_t newest, int keep,
                       const Warn& warn);

}  // namespace drover
