#include "data/store/token_store.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "core/base/error.h"

namespace drover {
namespace {

// Nothing in a file from outside need be aligned.
template <class Stored>
Stored value_at(const std::byte* bytes, std::int64_t index = 0) {
  Stored value;
  std::memcpy(&value, bytes + index * static_cast<std::int64_t>(sizeof(Stored)), sizeof value);
  return value;
}

template <class Stored>
void widen(const std::byte* bytes, std::span<std::int32_t> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<std::int32_t>(value_at<Stored>(bytes, static_cast<std::int64_t>(i)));
  }
}

void widen(StoredType type, const std::byte* bytes, std::span<std::int32_t> out) {
  type == StoredType::uint16 ? widen<std::uint16_t>(bytes, out) : widen<std::uint32_t>(bytes, out);
}

// Of an offset, and of a document's bytes of text.
constexpr std::int64_t kNumberBytes = sizeof(std::int64_t);

std::int64_t count_int64(std::span<const std::byte> bytes) {
  return static_cast<std::int64_t>(bytes.size()) / 8;
}

}  // namespace

TokenStore::TokenStore(FileSystem& files, const std::filesystem::path& path)
    : hdf5_(files, path),
      config_(read_config()),
      view_(hdf5_.file().map()),
      tokens_(hdf5_, view_.bytes, kStoreTokens, config_.token_type, config_.tokens, config_.tokens_digest),
      offsets_(hdf5_, view_.bytes, kStoreOffsets, StoredType::int64, config_.documents + 1,
               config_.offsets_digest),
      text_bytes_(hdf5_, view_.bytes, kStoreTextBytes, StoredType::int64, config_.documents,
                  config_.text_bytes_digest) {
  if (offset(0) != 0 || offset(config_.documents) != config_.tokens) {
    throw input_error(this->path(), ": its documents go from token ", offset(0), " to ",
                      offset(config_.documents), ", not from 0 to ", config_.tokens, kRestoreStore);
  }
}

void TokenStore::check_attributes() const {
  const auto is_format = [](const Hdf5Attribute& attribute) {
    const auto* text = std::get_if<std::string>(&attribute.value);
    return attribute.name == "format" && text != nullptr && *text == kStoreFormat;
  };
  const auto& attributes = hdf5_.attributes();
  if (std::none_of(attributes.begin(), attributes.end(), is_format)) {
    throw input_error(path(), ": is an HDF5 file, but no token store; make one with `drover data prepare`");
  }
}

// Also gives the store its name.
StoreConfig TokenStore::read_config() {
  check_attributes();
  const std::string json =
      read_whole(hdf5_.dataset(kStoreConfig, StoredType::uint8, 1), kStoreMaxConfigBytes);
  const std::string stored =
      read_whole(hdf5_.dataset(kStoreConfigDigest, StoredType::uint8, 1), kStoreDigestBytes);
  const Digest digest = digest_of(json);
  if (static_cast<std::int64_t>(stored.size()) != kStoreDigestBytes || digest_at(stored, 0) != digest) {
    throw input_error(path(), ": /config does not match its digest: the file is damaged", kRestoreStore);
  }
  name_ = "store-" + hex(digest);
  return store_config_from_json(json, path());
}

std::string TokenStore::read_whole(const Hdf5Dataset& dataset, std::int64_t limit) const {
  if (dataset.bytes() > limit) {
    throw input_error(path(), ": /", dataset.path, " has ", dataset.bytes(), " bytes, more than ", limit,
                      kRestoreStore);
  }
  std::string bytes(static_cast<std::size_t>(dataset.bytes()), '\0');
  hdf5_.file().read(std::as_writable_bytes(std::span(bytes)), dataset.offset);
  return bytes;
}

std::int64_t TokenStore::offset(std::int64_t document) const {
  DROVER_CHECK(document >= 0 && document <= config_.documents, document, " of ", config_.documents);
  const auto offset = value_at<std::int64_t>(offsets_.at(document * kNumberBytes, kNumberBytes));
  if (offset < 0 || offset > config_.tokens) {
    throw input_error(path(), ": document ", document, " starts at token ", offset, " of ", config_.tokens,
                      kRestoreStore);
  }
  return offset;
}

std::int64_t TokenStore::text_bytes_of(std::int64_t document) const {
  DROVER_CHECK(document >= 0 && document < config_.documents, document, " of ", config_.documents);
  return value_at<std::int64_t>(text_bytes_.at(document * kNumberBytes, kNumberBytes));
}

void TokenStore::read(std::int64_t begin, std::span<std::int32_t> out) const {
  const auto count = static_cast<std::int64_t>(out.size());
  DROVER_CHECK(begin >= 0 && begin <= config_.tokens && count >= 0 && count <= config_.tokens - begin, begin,
               " + ", count, " of ", config_.tokens);
  const std::int64_t width = size_of(config_.token_type);
  widen(config_.token_type, tokens_.at(begin * width, count * width), out);
  check_ids(begin, out);
}

// One comparison per id, without a branch, and the search only when there is something to find. A negative id
// was above what int32 holds.
void TokenStore::check_ids(std::int64_t begin, std::span<const std::int32_t> ids) const {
  std::uint32_t largest = 0;
  for (const std::int32_t id : ids) largest = std::max(largest, static_cast<std::uint32_t>(id));
  if (ids.empty() || largest < config_.vocab_size) return;
  const auto bad = std::find(ids.begin(), ids.end(), static_cast<std::int32_t>(largest));
  throw input_error(path(), ": token ", begin + (bad - ids.begin()), " is id ", largest,
                    ", the vocabulary has ", config_.vocab_size, kRestoreStore);
}

void TokenStore::verify() const {
  verify_tokens();
  verify_offsets();
  verify_text_bytes();
}

void TokenStore::verify_tokens() const {
  std::vector<std::int32_t> ids;
  const std::int64_t width = size_of(config_.token_type);
  tokens_.read_all([&](std::int64_t first, auto bytes) {
    ids.resize(bytes.size() / static_cast<std::size_t>(width));
    widen(config_.token_type, bytes.data(), ids);
    check_ids(first / width, ids);
  });
}

void TokenStore::verify_offsets() const {
  std::int64_t last = 0;
  offsets_.read_all([&](std::int64_t first, auto bytes) {
    for (std::int64_t i = 0; i < count_int64(bytes); ++i) {
      const auto next = value_at<std::int64_t>(bytes.data(), i);
      if (next < last) {
        throw input_error(path(), ": document ", first / 8 + i, " starts before the one before it",
                          kRestoreStore);
      }
      last = next;
    }
  });
}

void TokenStore::verify_text_bytes() const {
  std::int64_t left = config_.text_bytes;
  text_bytes_.read_all([&](std::int64_t first, auto bytes) {
    for (std::int64_t i = 0; i < count_int64(bytes); ++i) {
      const auto count = value_at<std::int64_t>(bytes.data(), i);
      if (count < 0 || count > left) {
        throw input_error(path(), ": document ", first / 8 + i, " has ", count, " bytes of text of the ",
                          left, " left for it", kRestoreStore);
      }
      left -= count;
    }
  });
  if (left != 0)
    throw input_error(path(), ": its documents have ", left, " bytes of text too few", kRestoreStore);
}

}  // namespace drover
