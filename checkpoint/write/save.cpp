// A save in phases, which need either files or the communicator, never both: begin (files, rank 0), write (files, every
// rank its own), gather (communicator), commit and purge (files, rank 0). Between them all ranks agree to go on.
#include "checkpoint/checkpoint.h"
#include "checkpoint/format/names.h"
#include "checkpoint/format/shard_file.h"
#include "checkpoint/write/directory.h"
#include "checkpoint/write/gather_table.h"
#include "parallel/comm/agreement.h"

namespace drover {
namespace {

// This rank's file in step_N.partial/, if it has anything to write. No communicator.
RankTable write_own_file(FileSystem& files, const CommitPlace& place, int rank, const SaveCheckpoint& save) {
  if (save.entries.empty()) return {};
  return write_shard_file(files, place.partial() / shard_name(rank),
                          {.entries = save.entries, .streamed = save.streamed});
}

// What makes the written files a checkpoint. Rank 0; no communicator.
void commit(FileSystem& files, const CommitPlace& place, int ranks, const SaveCheckpoint& save,
            const GatheredTable& gathered) {
  check_covered(gathered);
  write_new_text(files, place.partial() / kTableName, gathered.table);
  commit_checkpoint(files, place,
                    manifest_text({.state = save.state,
                                   .ranks = ranks,
                                   .tensors = gathered.tensors,
                                   .table_bytes = std::ssize(gathered.table),
                                   .table_digest = digest_of(gathered.table)}));
  purge_checkpoints(files, place, save.keep, save.warn);
}

// Rank 0 removes what was begun; every other rank has closed its files by then.
template <class Body>
void or_abandon(FileSystem& files, const Communicator& world, const CommitPlace& place, Body body) {
  try {
    body();
  } catch (...) {
    if (world.rank() == 0) abandon_checkpoint(files, place);
    throw;
  }
}

}  // namespace

std::filesystem::path save_checkpoint(FileSystem& files, const Exec& exec, Communicator& world,
                                      const SaveCheckpoint& save) {
  const CommitPlace place{.checkpoints = save.folder, .attempt = save.state.attempt, .step = save.state.step};
  agree(exec, world, [&] {
    exec.backend.synchronize(exec.stream);
    if (world.rank() == 0) begin_checkpoint(files, place, save.warn);
  });
  or_abandon(files, world, place, [&] {
    RankTable mine;
    agree(exec, world, [&] { mine = write_own_file(files, place, world.rank(), save); });
    const GatheredTable gathered = gather_table(exec, world, mine);
    agree(exec, world, [&] {
      if (world.rank() == 0) commit(files, place, world.size(), save, gathered);
    });
  });
  return place.committed();
}

}  // namespace drover
