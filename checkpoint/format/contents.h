// A checkpoint's manifest and table, read once and known to all ranks.
#pragma once

#include <filesystem>
#include <string>

#include "checkpoint/format/manifest.h"
#include "core/base/function_ref.h"
#include "core/files/filesystem.h"
#include "parallel/comm/communicator.h"

namespace drover {

struct Contents {
  std::filesystem::path directory;
  Manifest manifest;
  std::string table;  // as in kTableName, also of a checkpoint of format 1

  // Calls `use(number of the file, from 0; the file)` in the order of ranks. None of it is kept. Error{input} for a table
  // that cannot be.
  void for_each_file(FunctionRef<void(int, const StoredFile&)> use) const;
};

// Checks the manifest's own digest. Error{input} naming the file.
Manifest read_manifest(FileSystem& files, const std::filesystem::path& directory);
// Checks the manifest's own digest, and the table's against the manifest. Error{input} naming the file.
Contents read_contents(FileSystem& files, const std::filesystem::path& directory);

// The ranks of one world reading one checkpoint.
struct ReadTogether {
  FileSystem& files;
  const Exec& exec;
  Communicator& world;
  std::filesystem::path directory;
};
// Rank 0 reads, all get it: as many collectives for any number of ranks and files. Collective.
Contents read_contents(const ReadTogether& from);

}  // namespace drover
