// A checkpoint's manifest and tables, read once and known to all ranks.
#pragma once

#include <filesystem>

#include "checkpoint/format/manifest.h"
#include "core/base/function_ref.h"
#include "core/files/filesystem.h"
#include "parallel/comm/communicator.h"

namespace drover {

// Checks the manifest's own digest. Error{input} naming the file.
Manifest read_manifest(FileSystem& files, const std::filesystem::path& directory);
// Checks the table's digest against the manifest.
RankTable read_table(FileSystem& files, const std::filesystem::path& directory, const StoredFile& file);

// The ranks of one world reading one checkpoint.
struct ReadTogether {
  FileSystem& files;
  const Exec& exec;
  Communicator& world;
  std::filesystem::path directory;
};
// Rank 0 reads, all get it. Collective.
Manifest read_manifest(const ReadTogether& from);
// Calls `use(file's index, its table)` on every rank for every file in order; each table is read by one rank
// and held by none. `use` may throw, which is an Error on all ranks. Collective.
void for_each_table(const ReadTogether& from, const Manifest& manifest,
                    FunctionRef<void(int, const RankTable&)> use);

}  // namespace drover
