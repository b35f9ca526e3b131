// The layout of a token store, shared by its writer and its reader; docs/token_store.md is the description.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/digest.h"
#include "core/files/hdf5.h"

namespace drover {

inline constexpr std::string_view kStoreFormat = "drover token store";
inline constexpr std::int64_t kStoreVersion = 1;
inline constexpr std::int64_t kStoreExtentBytes = std::int64_t{4} << 20;  // one digest for each
inline constexpr std::int64_t kStoreDigestBytes = 16;                     // high half first, big-endian
inline constexpr std::int64_t kStoreMaxConfigBytes = 64 << 10;

// Paths of the datasets.
inline constexpr std::string_view kStoreTokens = "tokens";                  // [tokens] uint16 or uint32
inline constexpr std::string_view kStoreOffsets = "document_offsets";       // [documents + 1] int64
inline constexpr std::string_view kStoreTextBytes = "document_text_bytes";  // [documents] int64
inline constexpr std::string_view kStoreDigests = "digests/";  // + one of these: [extents, 16] uint8
inline constexpr std::string_view kStoreConfig = "config";     // [n] uint8, JSON
inline constexpr std::string_view kStoreConfigDigest = "config_digest";  // [16] uint8

enum class StorePart : std::uint8_t { all, train, holdout };
std::string_view name_of(StorePart part);

// What the JSON in `config` says.
struct StoreConfig {
  std::int64_t documents = 0, tokens = 0, text_bytes = 0;
  StoredType token_type = StoredType::uint16;
  std::int64_t vocab_size = 0;
  std::string tokenizer_digest;          // 32 hexadecimal digits
  std::optional<std::int32_t> bos, eos;  // put around every document; none where nothing was
  StorePart part = StorePart::all;       // of the documents that were read
  double holdout_fraction = 0.0;         // 0 for StorePart::all
  Digest tokens_digest, offsets_digest, text_bytes_digest;  // of the tables under digests/
};

inline StoredType token_type_for(std::int64_t vocab_size) {
  return vocab_size <= 65536 ? StoredType::uint16 : StoredType::uint32;
}
inline std::int64_t store_extents(std::int64_t bytes) {
  return (bytes + kStoreExtentBytes - 1) / kStoreExtentBytes;
}

std::string store_config_json(const StoreConfig& config);
// Error{input} naming `path`: not such JSON, a newer version, or values that can't be.
StoreConfig store_config_from_json(std::string_view json, std::string_view path);

// Digests as they stand in a store.
void put_digest(const Digest& digest, std::string& out);
Digest digest_at(std::string_view table, std::int64_t index);

}  // namespace drover
