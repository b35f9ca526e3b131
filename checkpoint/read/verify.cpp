#include "checkpoint/read/verify.h"

#include <algorithm>

#include "checkpoint/format/names.h"
#include "core/files/hdf5.h"
#include "parallel/comm/agreement.h"

namespace drover {
namespace {

// A run of extents of one file.
struct Share {
  std::string file;
  std::int64_t bytes = 0, first = 0;
  std::vector<Digest> digests;
};

std::int64_t total_extents(const Contents& contents) {
  std::int64_t total = 0;
  contents.for_each_file([&](int, const StoredFile& file) { total += std::ssize(file.extents); });
  return total;
}

// Extents are numbered through all files, and rank r of n checks [total * r / n, total * (r + 1) / n).
std::vector<Share> share_of(const Contents& contents, const Communicator& world) {
  const std::int64_t total = total_extents(contents);
  const std::int64_t begin = total * world.rank() / world.size(),
                     end = total * (world.rank() + 1) / world.size();
  std::vector<Share> shares;
  std::int64_t start = 0;  // number of the file's first extent
  contents.for_each_file([&](int, const StoredFile& file) {
    const std::int64_t count = std::ssize(file.extents);
    const std::int64_t first = std::clamp(begin - start, std::int64_t{0}, count);
    const std::int64_t last = std::clamp(end - start, std::int64_t{0}, count);
    start += count;
    // A file without extents is nobody's: nothing of it is ever read.
    if (first < last)
      shares.push_back({.file = shard_name(file.rank),
                        .bytes = file.bytes,
                        .first = first,
                        .digests = {file.extents.begin() + first, file.extents.begin() + last}});
  });
  return shares;
}

// Whether HDF5 sees the datasets that the table speaks of.
void check_structure(FileSystem& files, const std::filesystem::path& path, const StoredFile& file) {
  const Hdf5File hdf5(files, path, OpenMode::read_no_follow);
  std::vector<std::int64_t> found, expected;
  for (const Hdf5Dataset& dataset : hdf5.datasets()) {
    if (dataset.bytes() > 0) found.push_back(dataset.offset);
  }
  for (const StoredPiece& piece : file.pieces) expected.push_back(piece.offset);
  std::sort(found.begin(), found.end());
  std::sort(expected.begin(), expected.end());
  if (found != expected)
    throw input_error(path.string(), ": its ", found.size(), " datasets are not where the table has its ",
                      expected.size(), " pieces");
}

}  // namespace

void verify_together(const ReadTogether& together, const Contents& contents) {
  agree(together.exec, together.world, [&] {
    for (const Share& share : share_of(contents, together.world)) {
      const auto damage = check_extents(together.files, {.directory = together.directory,
                                                         .file = share.file,
                                                         .bytes = share.bytes,
                                                         .first = share.first,
                                                         .digests = share.digests});
      if (!damage.empty()) throw input_error(describe(damage.front()));
    }
  });
}

std::vector<Damage> damage_of(FileSystem& files, const std::filesystem::path& directory,
                              const StoredFile& file) {
  const std::string name = shard_name(file.rank);
  try {
    std::vector<Damage> found = check_extents(
        files,
        {.directory = directory, .file = name, .bytes = file.bytes, .first = 0, .digests = file.extents});
    if (found.empty()) check_structure(files, directory / name, file);
    return found;
  } catch (const Error& error) {
    return {{.file = name, .what = error.what()}};
  }
}

}  // namespace drover
