// Token stores made without StoreWriter, from the description in docs/token_store.md: a second opinion on the
// format, hostile ones whose digests fit, and sparse ones of any size.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/digest.h"
#include "core/files/filesystem.h"
#include "core/files/hdf5.h"
#include "data/store/format.h"

namespace drover {

struct BuildStore {
  std::vector<std::uint16_t> ids;
  std::int64_t zero_ids = 0;  // instead of ids: so many zeros, which take no space on disk
  std::vector<std::int64_t> offsets;
  std::vector<std::int64_t> text_bytes;
  std::int64_t vocab_size = 258;
  std::string format = "drover token store";
  // Changes the config, or the JSON made from it, before it is sealed.
  std::string replace_in_json, replacement;
};

inline std::string digest_table(std::string_view bytes) {
  std::string table;
  for (std::size_t at = 0; at < bytes.size(); at += 4 << 20)
    put_digest(digest_of(bytes.substr(at, 4 << 20)), table);
  return table;
}

inline std::string zero_digest_table(std::int64_t bytes) {
  std::string table;
  const std::string zeros(4 << 20, '\0');
  const Digest whole = digest_of(zeros);
  for (; bytes >= 4 << 20; bytes -= 4 << 20) put_digest(whole, table);
  if (bytes > 0)
    put_digest(digest_of(std::string_view(zeros).substr(0, static_cast<std::size_t>(bytes))), table);
  return table;
}

template <class T>
std::string string_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

inline void build_store(FileSystem& files, const std::filesystem::path& path, const BuildStore& store) {
  const std::string ids = string_of(store.ids), offsets = string_of(store.offsets);
  const std::string text_bytes = string_of(store.text_bytes);
  const std::int64_t tokens =
      store.zero_ids > 0 ? store.zero_ids : static_cast<std::int64_t>(store.ids.size());
  const std::string ids_table = store.zero_ids > 0 ? zero_digest_table(2 * tokens) : digest_table(ids);
  const std::string offsets_table = digest_table(offsets), text_bytes_table = digest_table(text_bytes);
  StoreConfig config{.documents = static_cast<std::int64_t>(store.text_bytes.size()),
                     .tokens = tokens,
                     .vocab_size = store.vocab_size,
                     .tokenizer_digest = std::string(32, 'a'),
                     .tokens_digest = digest_of(ids_table),
                     .offsets_digest = digest_of(offsets_table),
                     .text_bytes_digest = digest_of(text_bytes_table)};
  for (const std::int64_t bytes : store.text_bytes) config.text_bytes += bytes;
  std::string json = store_config_json(config), json_digest;
  if (!store.replace_in_json.empty()) {
    json.replace(json.find(store.replace_in_json), store.replace_in_json.size(), store.replacement);
  }
  put_digest(digest_of(json), json_digest);

  const auto table = [](const char* name, const std::string& bytes) {
    return Hdf5Dataset{
        .path = name, .type = StoredType::uint8, .dims = {static_cast<std::int64_t>(bytes.size()) / 16, 16}};
  };
  const auto flat = [](const char* name, StoredType type, std::int64_t count) {
    return Hdf5Dataset{.path = name, .type = type, .dims = {count}};
  };
  const auto count = [](const auto& values) { return static_cast<std::int64_t>(values.size()); };
  const Hdf5Plan plan = plan_hdf5(
      {flat("tokens", StoredType::uint16, tokens),
       flat("document_offsets", StoredType::int64, count(store.offsets)),
       flat("document_text_bytes", StoredType::int64, count(store.text_bytes)),
       table("digests/tokens", ids_table), table("digests/document_offsets", offsets_table),
       table("digests/document_text_bytes", text_bytes_table), flat("config", StoredType::uint8, count(json)),
       flat("config_digest", StoredType::uint8, 16)},
      std::vector<Hdf5Attribute>{{"format", store.format}, {"version", std::int64_t{1}}});
  const auto file = files.open(path, OpenMode::create);
  write_metadata(*file, plan);
  std::size_t dataset = 0;
  for (const std::string& bytes :
       {ids, offsets, text_bytes, ids_table, offsets_table, text_bytes_table, json, json_digest}) {
    file->write(std::as_bytes(std::span(bytes)), plan.datasets[dataset++].offset);
  }
}

}  // namespace drover
