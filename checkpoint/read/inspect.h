// Checkpoints for people: `drover checkpoint inspect` and `verify`. One rank.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/read/extent_reader.h"
#include "core/files/filesystem.h"

namespace drover {

// What the manifest and the table say, their digests checked: state, files, tensors and how they are cut.
// Error{input} if they are damaged; shards are not read.
std::string inspect_checkpoint(FileSystem& files, const std::filesystem::path& directory);

struct Verification {
  std::int64_t files = 0, bytes = 0;
  std::vector<Damage> damage;
};
// Reads every byte and lists all that is not as written.
Verification verify_checkpoint(FileSystem& files, const std::filesystem::path& directory);

}  // namespace drover
