#include "data/store/format.h"

#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace drover {
namespace {

using Json = nlohmann::json;

constexpr std::array<StorePart, 3> kParts = {StorePart::all, StorePart::train, StorePart::holdout};

Json id_json(const std::optional<std::int32_t>& id) { return id ? Json(*id) : Json(nullptr); }

// Reads members of the config object, each checked where it is read.
class ConfigReader {
 public:
  ConfigReader(const Json& object, std::string_view path) : object_(object), path_(path) {}

  std::int64_t integer(const char* key, std::int64_t low, std::int64_t high) const {
    const Json& value = member(key);
    if (!value.is_number_integer() || value < low || value > high) throw bad(key);
    return value.get<std::int64_t>();
  }
  std::string text(const char* key) const {
    const Json& value = member(key);
    if (!value.is_string()) throw bad(key);
    return value.get<std::string>();
  }
  double fraction(const char* key) const {
    const Json& value = member(key);
    if (!value.is_number() || value < 0 || value > 1) throw bad(key);
    return value.get<double>();
  }
  Digest digest(const char* key) const {
    const std::optional<Digest> digest = digest_from_hex(text(key));
    if (!digest) throw bad(key);
    return *digest;
  }
  std::optional<std::int32_t> id(const char* key, std::int64_t vocab_size) const {
    if (member(key).is_null()) return std::nullopt;
    return static_cast<std::int32_t>(integer(key, 0, vocab_size - 1));
  }
  StorePart part(const char* key) const {
    const std::string name = text(key);
    for (const StorePart part : kParts) {
      if (name == name_of(part)) return part;
    }
    throw bad(key);
  }
  ConfigReader object(const char* key) const { return ConfigReader(member(key), path_); }
  Error bad(const char* key) const {
    return input_error(path_, ": config: \"", key,
                       "\" is missing or has a value that cannot be; prepare it again");
  }

 private:
  const Json& member(const char* key) const {
    if (!object_.is_object() || !object_.contains(key)) throw bad(key);
    return object_[key];
  }

  const Json& object_;
  std::string_view path_;
};

}  // namespace

std::string_view name_of(StorePart part) {
  switch (part) {
    case StorePart::all:
      return "all";
    case StorePart::train:
      return "train";
    case StorePart::holdout:
      return "holdout";
  }
  return "?";
}

std::string store_config_json(const StoreConfig& config) {
  const nlohmann::ordered_json json = {
      {"format", kStoreFormat},
      {"version", kStoreVersion},
      {"documents", config.documents},
      {"tokens", config.tokens},
      {"text_bytes", config.text_bytes},
      {"token_type", name_of(config.token_type)},
      {"vocab_size", config.vocab_size},
      {"tokenizer_digest", config.tokenizer_digest},
      {"bos", id_json(config.bos)},
      {"eos", id_json(config.eos)},
      {"part", name_of(config.part)},
      {"holdout_fraction", config.holdout_fraction},
      {"extent_bytes", kStoreExtentBytes},
      {"digests",
       {{"tokens", hex(config.tokens_digest)},
        {"document_offsets", hex(config.offsets_digest)},
        {"document_text_bytes", hex(config.text_bytes_digest)}}},
  };
  return json.dump(2) + "\n";
}

StoreConfig store_config_from_json(std::string_view json, std::string_view path) {
  const Json object = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  const ConfigReader read(object, path);
  if (read.text("format") != kStoreFormat) throw read.bad("format");
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 16;
  if (const std::int64_t version = read.integer("version", 1, kMost); version > kStoreVersion) {
    throw input_error(path, ": is a token store of version ", version, "; this Drover reads up to ",
                      kStoreVersion, ", use a newer one");
  }
  if (read.integer("extent_bytes", 1, kMost) != kStoreExtentBytes) throw read.bad("extent_bytes");
  StoreConfig config;
  config.documents = read.integer("documents", 0, kMost);
  config.tokens = read.integer("tokens", 0, kMost);
  config.text_bytes = read.integer("text_bytes", 0, kMost);
  config.vocab_size = read.integer("vocab_size", 1, std::numeric_limits<std::int32_t>::max());
  config.token_type = token_type_for(config.vocab_size);
  if (read.text("token_type") != name_of(config.token_type)) throw read.bad("token_type");
  config.tokenizer_digest = hex(read.digest("tokenizer_digest"));
  config.bos = read.id("bos", config.vocab_size);
  config.eos = read.id("eos", config.vocab_size);
  config.part = read.part("part");
  config.holdout_fraction = read.fraction("holdout_fraction");
  const ConfigReader digests = read.object("digests");
  config.tokens_digest = digests.digest("tokens");
  config.offsets_digest = digests.digest("document_offsets");
  config.text_bytes_digest = digests.digest("document_text_bytes");
  return config;
}

void put_digest(const Digest& digest, std::string& out) {
  for (const std::uint64_t half : {digest.high, digest.low}) {
    for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(half >> shift));
  }
}

Digest digest_at(std::string_view table, std::int64_t index) {
  const auto half_at = [&](std::int64_t at) {
    std::uint64_t half = 0;
    for (std::int64_t i = 0; i < 8; ++i)
      half = half << 8 | static_cast<unsigned char>(table[static_cast<std::size_t>(at + i)]);
    return half;
  };
  return {half_at(index * kStoreDigestBytes), half_at(index * kStoreDigestBytes + 8)};
}

}  // namespace drover
