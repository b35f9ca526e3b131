// Fencing: which attempt of a run may commit checkpoints, and which committed checkpoints count.
//
// A process of an earlier attempt may be alive although everybody believes it dead: stopped, or cut off with its host.
// When it wakes up it goes on where it was, in the middle of a save perhaps. So every attempt commits into a folder of
// its own, and a later attempt, before it looks for the checkpoint to go on from,
//
//   1. takes a number that nobody has had (claim_attempt: a file by exclusive create, never renamed or removed);
//   2. makes its own folder, and renames the folders of all attempts before it to attempt_K.closed;
//   3. lists what is committed in those, and records, durably, that it accepts these and no others.
//
// A late rank's rename to its committed name then fails, because its folder has no longer the name that it knows; and
// where a file system lets it through all the same, it lands in a closed folder beside what was recorded, where nobody
// looks. That a number is claimed decides nothing: until the record is written, the attempt before is the one that
// counts, and what it still commits is accepted by the attempt that closes it.
//
// Nothing here asks who is alive. One process of an attempt, its rank 0, claims and opens; anybody may read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/files/filesystem.h"

namespace drover {

inline constexpr std::int64_t kNoAttempt = -1;

// Takes a number above `above` and above all that `checkpoints` knows of. Makes the folder, whose parent exists.
std::int64_t claim_attempt(FileSystem& files, const std::filesystem::path& checkpoints,
                           std::int64_t above = kNoAttempt);
// Steps 2 and 3 for a claimed number. Returns the folder to commit into. A folder of an earlier attempt that is empty is
// removed instead. LATEST then names the newest accepted checkpoint by its new path. Error{input} where a later attempt
// has opened already.
std::filesystem::path open_attempt(FileSystem& files, const std::filesystem::path& checkpoints,
                                   std::int64_t attempt);

// What a process is told whose attempt a later one has closed.
Error closed_attempt(const std::filesystem::path& checkpoints, std::int64_t attempt);

struct AcceptedCheckpoint {
  std::int64_t step = 0;
  std::int64_t attempt = kNoAttempt;  // that committed it; kNoAttempt: it lies in checkpoints/ itself
  std::string path;                   // below checkpoints/: "attempt_2.closed/step_0000000500"
};
// The newest first: by step, then by attempt; what lies in checkpoints/ itself (of format 1, or put there by hand) is
// always accepted, and comes last of its step. Of attempts, those that the newest record accepts, and all of that
// record's own attempt; all where there is no record. Names only, no checkpoint is looked into. None if the folder does
// not exist. Error{input} for a record that is damaged.
std::vector<AcceptedCheckpoint> accepted_checkpoints(FileSystem& files,
                                                     const std::filesystem::path& checkpoints);

// Replaces the hint, a path below checkpoints/.
void write_latest(FileSystem& files, const std::filesystem::path& checkpoints, const std::string& path);

// The folders of attempts up to `attempt`, and checkpoints/ itself as "": where leftovers of theirs may lie.
std::vector<std::string> folders_up_to(FileSystem& files, const std::filesystem::path& checkpoints,
                                       std::int64_t attempt);

}  // namespace drover
