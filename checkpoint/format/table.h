// The table of a checkpoint: which file holds which box of which tensor, and the digests of every file's bytes. One file
// for all ranks, kTableName, in a binary form that is as small as it can be read simply (docs/checkpoint_format.md): one
// rank reads it and gives it to all, and each finds its own part.
//
// The text of a table is the texts of its files, one after the other in the order of ranks. Whatever is parsed here may
// come from anywhere: every number is bounded before it is used, and before anything is allocated for it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/format/state.h"
#include "checkpoint/format/tensors.h"
#include "core/base/digest.h"
#include "core/base/function_ref.h"

namespace drover {

inline constexpr std::int64_t kExtentBytes = std::int64_t{4} << 20;  // one digest for each
inline constexpr std::int64_t kMaxTableBytes = std::int64_t{1} << 30;
inline constexpr std::int64_t kMaxFilePieces = std::int64_t{1} << 22;  // of one file
inline constexpr std::string_view kTableName = "table.bin";

inline std::int64_t extents_of(std::int64_t bytes) { return (bytes + kExtentBytes - 1) / kExtentBytes; }

// A box of a tensor, row-major at `offset` of a file.
struct StoredPiece {
  int tensor = 0;  // index into a list of tensors
  Box box;
  std::int64_t offset = 0;  // bytes
};

// What one file holds. Its name follows from the rank that wrote it (shard_name).
struct StoredFile {
  std::int64_t rank = 0;
  std::int64_t bytes = 0;
  std::vector<StoredPiece> pieces;  // by offset; no two overlap
  std::vector<Digest> extents;      // XXH3-128 of each kExtentBytes of the file; the last may be shorter
};

// The file's part of a table of pieces of `tensors`. Pieces may come in any order.
std::string file_text(const StoredFile& file, std::span<const StoredTensor> tensors);
// Calls `use` with every file of a table. Error{input} naming `path`.
void for_each_file(std::string_view table, std::span<const StoredTensor> tensors,
                   const std::filesystem::path& path, FunctionRef<void(const StoredFile&)> use);

}  // namespace drover
