// Checkpoints that distrust themselves and load into any layout. Format: docs/checkpoint_format.md.
//
//   <run>/checkpoints/attempt_1/step_0000000500/   manifest.json, table.bin, rank_00000.h5, ...
//   <run>/checkpoints/LATEST                       a hint, never trusted
//
// Every attempt commits into a folder of its own (checkpoint/write/attempts.h). Commit protocol, every byte through
// FileSystem (core/files/filesystem.h): write step_N.partial/ (one HDF5 file per rank, fsync), all ranks agree, rank
// 0 writes the table and, last, the manifest (fsync), renames the directory, fsyncs its parent, moves LATEST, then
// purges. A reader believes only a directory whose manifest's own digest, the table's, and every 4 MiB extent of
// every file it reads, match.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>

#include "checkpoint/format/byte_sink.h"
#include "checkpoint/format/state.h"
#include "core/files/filesystem.h"
#include "parallel/comm/communicator.h"

namespace drover {

struct SaveCheckpoint {
  std::filesystem::path folder;         // <run>/checkpoints; state.attempt is open there
  std::span<const StateEntry> entries;  // of this rank; the union over ranks covers each tensor exactly once
  RunState state;                       // equal on all ranks but for seconds: rank 0's are written
  int keep = 3;                         // newest checkpoints to keep after the commit; 0 keeps all
  // If set, entries have no memory and this hands over their bytes (ShardContents::streamed in shard_file.h).
  std::function<void(std::size_t index, ByteSink sink)> streamed = {};
  // On rank 0: told which older checkpoint or leftover could not be removed, and why. No reason to fail.
  std::function<void(const std::string&)> warn = [](const std::string&) {};
};
// Collective over `world`. Returns the committed directory. A failure on any rank (full disk, ...) is Error
// on every rank and leaves the older checkpoints and LATEST as they were; what goes wrong after the commit, while
// older checkpoints are removed, is only told.
std::filesystem::path save_checkpoint(FileSystem&, const Exec&, Communicator& world, const SaveCheckpoint&);

// The newest accepted checkpoint that verifies; none if nothing was ever committed. Damaged ones are
// reported through `warn`, on every rank, with what is wrong, and skipped. If all are damaged, Error{input}:
// starting anew beside them would be a loss that nobody notices. With `up_to_step`, later ones are not looked
// at. Collective: ranks share the work of checking, and agree.
std::optional<std::filesystem::path> find_checkpoint(FileSystem&, const Exec&, Communicator& world,
                                                     const std::filesystem::path& folder,
                                                     const std::function<void(const std::string&)>& warn,
                                                     std::optional<std::int64_t> up_to_step = std::nullopt);

// Fills entries' data from a checkpoint that may have been written under any layout, number of ranks and
// dtype-equal slots. Every byte read is checked against the manifest's digests first. Error{input} names
// tensor, file and what to do. Returns the run state. Collective.
RunState load_checkpoint(FileSystem&, const Exec&, Communicator& world,
                         const std::filesystem::path& directory, std::span<const StateEntry> entries);

// docs/checkpoint_format.md, "weight hash". 32 hex digits; independent of layout and ranks; ranks share the
// work. Collective.
std::string weight_hash(FileSystem&, const Exec&, Communicator& world,
                        const std::filesystem::path& directory);
// The same of tensors in host memory: `entries` are whole tensors, in any order.
std::string weight_hash(std::span<const StateEntry> entries, const RunState& state);

}  // namespace drover
