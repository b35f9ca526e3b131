// What a checkpoint says about itself: one manifest, and one table per rank's file. Values and their text;
// docs/checkpoint_format.md is the description. Whatever is parsed here may come from anywhere: every number
// is bounded and every name checked before it is used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/format/coverage.h"
#include "checkpoint/format/state.h"
#include "core/base/digest.h"

namespace drover {

inline constexpr std::int64_t kExtentBytes = std::int64_t{4} << 20;  // one digest for each
inline constexpr std::int64_t kMaxManifestBytes = std::int64_t{64} << 20;
inline constexpr std::int64_t kMaxTableBytes = std::int64_t{256} << 20;
inline constexpr std::string_view kManifestName = "manifest.json";

inline std::int64_t extents_of(std::int64_t bytes) { return (bytes + kExtentBytes - 1) / kExtentBytes; }

// A logical tensor in one slot.
struct StoredTensor {
  std::string name, slot;
  DType dtype = DType::float32;
  std::array<std::int64_t, 2> shape{1, 0};  // vectors are {1, n}
  int dims = 2;

  std::int64_t numel() const { return shape[0] * shape[1]; }
  Box whole() const { return {.offset = {0, 0}, .extent = shape}; }
  bool operator==(const StoredTensor&) const = default;
};
// Bytewise by name, then by slot.
bool before(const StoredTensor& a, const StoredTensor& b);
std::string describe(const StoredTensor& tensor);    // "float32[64x32] model.norm.weight moment1"
std::string shape_text(const StoredTensor& tensor);  // "64x32", "64"

// A box of a tensor, row-major at `offset` of a file.
struct StoredPiece {
  int tensor = 0;  // index into the table's tensors
  Box box;
  std::int64_t offset = 0;  // bytes
};

// What one rank's file holds.
struct RankTable {
  std::int64_t bytes = 0;  // of the file
  std::vector<StoredTensor> tensors;
  std::vector<StoredPiece> pieces;
  std::vector<Digest> extents;  // XXH3-128 of each kExtentBytes of the file; the last may be shorter
};
std::string table_text(const RankTable& table);
// Error{input} naming `path`.
RankTable parse_table(std::string_view text, const std::filesystem::path& path);

struct StoredFile {
  std::string name;  // base names, both
  std::int64_t bytes = 0;
  std::string table;
  std::int64_t table_bytes = 0;
  Digest table_digest;
};

struct Manifest {
  RunState state;
  int ranks = 1;                      // of the run that wrote it; those without entries have no file
  std::vector<StoredTensor> tensors;  // in the order of before()
  std::vector<StoredFile> files;
};
// The text ends with its own digest.
std::string manifest_text(const Manifest& manifest);
// Checks the digest first. Error{input} naming `path`.
Manifest parse_manifest(std::string_view text, const std::filesystem::path& path);

// Tensors with what is known to be covered of each, as ranks send them to each other.
struct CoveredTensor {
  StoredTensor tensor;
  Coverage covered;
};
std::string covered_text(std::span<const CoveredTensor> tensors);
std::vector<CoveredTensor> parse_covered(std::string_view text);

}  // namespace drover
