#include <algorithm>
#include <iterator>

#include "checkpoint/checkpoint.h"
#include "checkpoint/format/manifest.h"
#include "checkpoint/format/shard_file.h"
#include "checkpoint/write/directory.h"
#include "checkpoint/write/new_folder.h"
#include "parallel/comm/agreement.h"

namespace drover {
namespace {

// What rank 0 must know of each rank's file, as numbers, so that collecting it costs one collective.
struct FileRecord {
  std::int64_t bytes = 0, table_bytes = 0;  // table_bytes = 0: the rank has no file
  std::uint64_t digest_high = 0, digest_low = 0;
};
constexpr std::int64_t kRecordNumbers = sizeof(FileRecord) / sizeof(std::int64_t);
static_assert(sizeof(FileRecord) == 32);

FileRecord write_rank(FileSystem& files, const std::filesystem::path& partial, int rank,
                      const SaveCheckpoint& save, std::vector<CoveredTensor>& covered) {
  const RankTable table = write_shard_file(files, partial / shard_name(rank),
                                           {.entries = save.entries, .streamed = save.streamed});
  for (const StoredTensor& tensor : table.tensors) covered.push_back({.tensor = tensor, .covered = {}});
  for (const StoredPiece& piece : table.pieces) {
    CoveredTensor& of = covered[static_cast<std::size_t>(piece.tensor)];
    of.covered.add(piece.box, of.tensor.shape[1]);
  }
  const std::string text = table_text(table);
  write_new_text(files, partial / table_name(rank), text);
  const Digest digest = digest_of(text);
  return {.bytes = table.bytes,
          .table_bytes = static_cast<std::int64_t>(text.size()),
          .digest_high = digest.high,
          .digest_low = digest.low};
}

std::vector<StoredFile> gather_files(const Exec& exec, Communicator& world, FileRecord mine) {
  std::vector<FileRecord> records(static_cast<std::size_t>(world.size()));
  const auto as_numbers = [](FileRecord* first, std::int64_t count) {
    return Tensor::of(static_cast<void*>(first), DType::int64, {count * kRecordNumbers});
  };
  world.all_gather(exec, {.in = as_numbers(&mine, 1), .out = as_numbers(records.data(), world.size())})
      .wait(exec);
  std::vector<StoredFile> files;
  for (std::size_t rank = 0; rank < records.size(); ++rank) {
    const FileRecord& record = records[rank];
    if (record.table_bytes == 0) continue;
    files.push_back({.name = shard_name(static_cast<std::int64_t>(rank)),
                     .bytes = record.bytes,
                     .table = table_name(static_cast<std::int64_t>(rank)),
                     .table_bytes = record.table_bytes,
                     .table_digest = {record.digest_high, record.digest_low}});
  }
  return files;
}

bool precedes(const CoveredTensor& a, const CoveredTensor& b) { return before(a.tensor, b.tensor); }

// Both sorted.
std::vector<CoveredTensor> merged(std::span<const CoveredTensor> a, std::span<const CoveredTensor> b) {
  std::vector<CoveredTensor> both;
  std::merge(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both), precedes);
  std::vector<CoveredTensor> result;
  for (CoveredTensor& next : both) {
    if (!result.empty() && result.back().tensor == next.tensor) {
      result.back().covered.add(next.covered);
    } else {
      result.push_back(std::move(next));
    }
  }
  return result;
}

// Along a binary tree, so that no rank ever holds more than the list itself: at the end rank 0 has all.
std::vector<CoveredTensor> gather_tensors(const Exec& exec, Communicator& world,
                                          std::vector<CoveredTensor> mine) {
  std::sort(mine.begin(), mine.end(), precedes);
  const int rank = world.rank();
  for (int stride = 1; stride < world.size(); stride *= 2) {
    if (rank % (2 * stride) != 0) {
      std::string text = covered_text(mine);
      send_text(exec, world, text, rank - stride);
      break;
    }
    if (rank + stride < world.size())
      mine = merged(mine, parse_covered(receive_text(exec, world, rank + stride)));
  }
  return mine;
}

std::vector<StoredTensor> whole_tensors(std::span<const CoveredTensor> covered) {
  std::vector<StoredTensor> tensors;
  for (const auto& [tensor, found] : covered) {
    Coverage whole;
    whole.add(tensor.whole(), tensor.shape[1]);
    DROVER_CHECK(found == whole, "the ranks' pieces of ", describe(tensor),
                 " do not cover it exactly once: ", found.elements(), " of ", tensor.numel(), " elements");
    DROVER_CHECK(tensors.empty() || before(tensors.back(), tensor), "ranks disagree: ", describe(tensor),
                 " and ", describe(tensors.back()));
    tensors.push_back(tensor);
  }
  return tensors;
}

// Rank 0 removes what was begun; every other rank has closed its files by then.
template <class Body>
void or_abandon(FileSystem& files, const Communicator& world, const std::filesystem::path& partial,
                Body body) {
  try {
    body();
  } catch (...) {
    if (world.rank() == 0) abandon_checkpoint(files, partial);
    throw;
  }
}

}  // namespace

std::filesystem::path save_checkpoint(FileSystem& files, const Exec& exec, Communicator& world,
                                      const SaveCheckpoint& save) {
  const int rank = world.rank();
  const std::int64_t step = save.state.step;
  const std::filesystem::path partial = save.folder / partial_name(step);
  agree(exec, world, [&] {
    exec.backend.synchronize(exec.stream);
    if (rank == 0) begin_checkpoint(files, save.folder, step, save.warn);
  });
  or_abandon(files, world, partial, [&] {
    FileRecord record;
    std::vector<CoveredTensor> covered;
    agree(exec, world, [&] {
      if (!save.entries.empty()) record = write_rank(files, partial, rank, save, covered);
    });
    Manifest manifest{.state = save.state, .ranks = world.size()};
    manifest.files = gather_files(exec, world, record);
    covered = gather_tensors(exec, world, std::move(covered));
    agree(exec, world, [&] {
      if (rank != 0) return;
      manifest.tensors = whole_tensors(covered);
      commit_checkpoint(files, save.folder, step, manifest_text(manifest));
      purge_checkpoints(files, save.folder, step, save.keep, save.warn);
    });
  });
  return save.folder / step_name(step);
}

}  // namespace drover
