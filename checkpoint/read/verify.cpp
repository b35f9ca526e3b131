#include "checkpoint/read/verify.h"

#include <algorithm>

#include "core/files/hdf5.h"
#include "parallel/comm/agreement.h"

namespace drover {
namespace {

// Extents are numbered through all files, and rank r of n checks [total * r / n, total * (r + 1) / n).
struct Share {
  int file = 0;
  std::int64_t first = 0;
  std::vector<Digest> digests;
};

class Shares {
 public:
  Shares(const Manifest& manifest, const Communicator& world) {
    std::int64_t total = 0;
    for (const StoredFile& file : manifest.files) {
      starts_.push_back(total);
      total += extents_of(file.bytes);
    }
    begin_ = total * world.rank() / world.size();
    end_ = total * (world.rank() + 1) / world.size();
  }

  void add(int file, const RankTable& table) {
    const auto count = static_cast<std::int64_t>(table.extents.size());
    const std::int64_t start = starts_[static_cast<std::size_t>(file)];
    const std::int64_t first = std::clamp(begin_ - start, std::int64_t{0}, count);
    const std::int64_t last = std::clamp(end_ - start, std::int64_t{0}, count);
    // A file without extents is nobody's: nothing of it is ever read.
    if (first < last)
      mine.push_back({file, first, {table.extents.begin() + first, table.extents.begin() + last}});
  }

  std::vector<Share> mine;

 private:
  std::vector<std::int64_t> starts_;  // by file
  std::int64_t begin_ = 0, end_ = 0;
};

// Whether HDF5 sees the datasets that the table speaks of.
void check_structure(FileSystem& files, const std::filesystem::path& path, const RankTable& table) {
  const Hdf5File hdf5(files, path, OpenMode::read_no_follow);
  std::vector<std::int64_t> found, expected;
  for (const Hdf5Dataset& dataset : hdf5.datasets()) {
    if (dataset.bytes() > 0) found.push_back(dataset.offset);
  }
  for (const StoredPiece& piece : table.pieces) expected.push_back(piece.offset);
  std::sort(found.begin(), found.end());
  std::sort(expected.begin(), expected.end());
  if (found != expected)
    throw input_error(path.string(), ": its ", found.size(), " datasets are not where the table has its ",
                      expected.size(), " pieces");
}

}  // namespace

void verify_together(const ReadTogether& together, const Manifest& manifest) {
  Shares shares(manifest, together.world);
  for_each_table(together, manifest, [&](int file, const RankTable& table) { shares.add(file, table); });
  agree(together.exec, together.world, [&] {
    for (const Share& share : shares.mine) {
      const StoredFile& file = manifest.files[static_cast<std::size_t>(share.file)];
      const auto damage = check_extents(together.files, {.directory = together.directory,
                                                         .file = file.name,
                                                         .bytes = file.bytes,
                                                         .first = share.first,
                                                         .digests = share.digests});
      if (!damage.empty()) throw input_error(describe(damage.front()));
    }
  });
}

std::vector<Damage> damage_of(FileSystem& files, const std::filesystem::path& directory,
                              const StoredFile& file) {
  try {
    const RankTable table = read_table(files, directory, file);
    std::vector<Damage> found = check_extents(files, {.directory = directory,
                                                      .file = file.name,
                                                      .bytes = file.bytes,
                                                      .first = 0,
                                                      .digests = table.extents});
    if (found.empty()) check_structure(files, directory / file.name, table);
    return found;
  } catch (const Error& error) {
    return {{.file = file.table, .what = error.what()}};
  }
}

}  // namespace drover
