// What a checkpoint says about itself, but for its table (checkpoint/format/table.h). Values and their text;
// docs/checkpoint_format.md is the description. Whatever is parsed here may come from anywhere: every number is bounded
// and every name checked before it is used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/format/state.h"
#include "checkpoint/format/table.h"
#include "checkpoint/format/tensors.h"
#include "core/base/digest.h"

namespace drover {

inline constexpr std::int64_t kMaxManifestBytes = std::int64_t{64} << 20;
inline constexpr std::string_view kManifestName = "manifest.json";

// Of format 1, in which every file had a table of its own beside it, in JSON.
struct OldFile {
  std::int64_t rank = 0;
  std::int64_t bytes = 0;
  std::int64_t table_bytes = 0;
  Digest table_digest;
};

struct Manifest {
  RunState state;
  int ranks = 1;                      // of the run that wrote it; those without entries have no file
  std::vector<StoredTensor> tensors;  // in the order of before()
  std::int64_t table_bytes = 0;       // of kTableName
  Digest table_digest;
  int format = 2;
  std::vector<OldFile> old_files;  // of format 1, instead of one table
};
// The text ends with its own digest. Of format 2, whatever was read.
std::string manifest_text(const Manifest& manifest);
// Checks the digest first. Error{input} naming `path`.
Manifest parse_manifest(std::string_view text, const std::filesystem::path& path);

// What one rank's file holds, by tensors of its own list.
struct RankTable {
  std::int64_t bytes = 0;  // of the file
  std::vector<StoredTensor> tensors;
  std::vector<StoredPiece> pieces;
  std::vector<Digest> extents;
};
// The table of a file of format 1. Error{input} naming `path`, also when it is of a file of another size.
RankTable parse_old_table(std::string_view text, std::int64_t file_bytes, const std::filesystem::path& path);

// A rank's table as a part of a table of `tensors`. DROVER_CHECKs that these are all there.
StoredFile file_of(std::int64_t rank, const RankTable& table, std::span<const StoredTensor> tensors);

// Lists of tensors, as ranks send them to each other.
std::string tensors_text(std::span<const StoredTensor> tensors);
std::vector<StoredTensor> parse_tensors(std::string_view text);

}  // namespace drover
