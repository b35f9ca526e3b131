#include "checkpoint/format/manifest.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "checkpoint/format/names.h"
#include "core/base/printable.h"
#include "core/files/filesystem.h"

namespace drover {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kFormat = "drover checkpoint", kTableFormat = "drover checkpoint table";
constexpr std::int64_t kVersion = 2;
constexpr std::int64_t kMaxOldTableBytes = std::int64_t{256} << 20;
constexpr std::int64_t kMaxDim = std::int64_t{1} << 40;
constexpr std::int64_t kMaxCount = std::numeric_limits<std::int64_t>::max();
// What follows the digits of a manifest's own digest.
constexpr std::string_view kTail = "\"\n}\n";
constexpr std::size_t kDigits = 32;

constexpr std::array kDTypes{DType::float64, DType::float32, DType::bfloat16,
                             DType::int64,   DType::int32,   DType::uint8};

// One object of a document, whose members are checked where they are read.
class Reader {
 public:
  Reader(const Json& object, const std::filesystem::path& path) : object_(object), path_(path) {}

  std::int64_t integer(const char* key, std::int64_t low, std::int64_t high) const {
    return integer_of(member(key), key, low, high);
  }
  std::string text(const char* key) const {
    const Json& value = member(key);
    if (!value.is_string()) throw bad(key);
    return value.get<std::string>();
  }
  // Of members that older versions did not write.
  std::string text_if_there(const char* key) const { return object_.contains(key) ? text(key) : ""; }
  double amount_if_there(const char* key) const {
    if (!object_.contains(key)) return 0;
    const Json& value = member(key);
    if (!value.is_number() || value.get<double>() < 0) throw bad(key);
    return value.get<double>();
  }
  // Of a file or a tensor: a safe file name without control characters.
  std::string name(const char* key) const {
    std::string name = text(key);
    if (!is_base_name(name) || std::any_of(name.begin(), name.end(), is_control)) throw bad(key);
    return name;
  }
  Digest digest(const char* key) const { return digest_of_text(member(key), key); }
  std::vector<Digest> digests(const char* key, std::int64_t count) const {
    const Json& values = array(key);
    if (static_cast<std::int64_t>(values.size()) != count) throw bad(key);
    std::vector<Digest> digests;
    for (const Json& value : values) digests.push_back(digest_of_text(value, key));
    return digests;
  }
  DType dtype(const char* key) const {
    const std::string name = text(key);
    for (const DType dtype : kDTypes) {
      if (name == name_of(dtype)) return dtype;
    }
    throw bad(key);
  }
  // One number for a vector (the other is `missing`), two for a matrix. Sets `dims`.
  std::array<std::int64_t, 2> pair(const char* key, int& dims, std::int64_t missing) const {
    const Json& values = array(key);
    if (values.empty() || values.size() > 2) throw bad(key);
    dims = static_cast<int>(values.size());
    const std::int64_t last = integer_of(values.back(), key, 0, kMaxDim);
    return {dims == 1 ? missing : integer_of(values.front(), key, 0, kMaxDim), last};
  }
  std::vector<Reader> objects(const char* key) const {
    std::vector<Reader> objects;
    for (const Json& value : array(key)) objects.emplace_back(value, path_);
    return objects;
  }
  Reader object(const char* key) const { return {member(key), path_}; }

  // Returns the version.
  int check_format(std::string_view format) const {
    if (text("format") != format) throw bad("format");
    const std::int64_t version = integer("version", 1, kMaxCount);
    if (version > kVersion)
      throw input_error(path_.string(), ": version ", version, "; this Drover reads up to ", kVersion,
                        ", use a newer one");
    return static_cast<int>(version);
  }
  Error bad(const char* key) const {
    return input_error(path_.string(), ": \"", key,
                       "\" is missing or has a value that cannot be; restore the checkpoint, or use another");
  }

 private:
  const Json& member(const char* key) const {
    if (!object_.is_object() || !object_.contains(key)) throw bad(key);
    return object_[key];
  }
  const Json& array(const char* key) const {
    const Json& value = member(key);
    if (!value.is_array()) throw bad(key);
    return value;
  }
  std::int64_t integer_of(const Json& value, const char* key, std::int64_t low, std::int64_t high) const {
    if (!value.is_number_integer() || value < low || value > high) throw bad(key);
    return value.get<std::int64_t>();
  }
  Digest digest_of_text(const Json& value, const char* key) const {
    const auto digest = value.is_string() ? digest_from_hex(value.get<std::string>()) : std::nullopt;
    if (!digest) throw bad(key);
    return *digest;
  }

  const Json& object_;
  const std::filesystem::path& path_;
};

Json parse(std::string_view text) { return Json::parse(text, nullptr, /*allow_exceptions=*/false); }

OrderedJson numbers(const std::array<std::int64_t, 2>& pair, int dims) {
  return dims == 1 ? OrderedJson::array({pair[1]}) : OrderedJson::array({pair[0], pair[1]});
}

OrderedJson tensor_json(const StoredTensor& tensor) {
  return {{"name", tensor.name},
          {"slot", tensor.slot},
          {"dtype", name_of(tensor.dtype)},
          {"shape", numbers(tensor.shape, tensor.dims)}};
}

StoredTensor read_tensor(const Reader& read) {
  StoredTensor tensor{.name = read.name("name"), .slot = read.name("slot"), .dtype = read.dtype("dtype")};
  tensor.shape = read.pair("shape", tensor.dims, 1);
  if (tensor.shape[1] > 0 && tensor.shape[0] > kMaxStoredBytes / size_of(tensor.dtype) / tensor.shape[1])
    throw read.bad("shape");
  return tensor;
}

StoredPiece read_piece(const Reader& read, const RankTable& table) {
  StoredPiece piece;
  piece.tensor =
      static_cast<int>(read.integer("tensor", 0, static_cast<std::int64_t>(table.tensors.size()) - 1));
  const StoredTensor& tensor = table.tensors[static_cast<std::size_t>(piece.tensor)];
  int offset_dims = 0, extent_dims = 0;
  piece.box.offset = read.pair("offset", offset_dims, 0);
  piece.box.extent = read.pair("extent", extent_dims, 1);
  if (offset_dims != tensor.dims || intersect(piece.box, tensor.whole()) != piece.box)
    throw read.bad("offset");
  if (extent_dims != tensor.dims) throw read.bad("extent");
  const std::int64_t bytes = piece.box.numel() * size_of(tensor.dtype);
  piece.offset = read.integer("byte", 0, table.bytes - bytes);
  return piece;
}

OrderedJson state_json(const RunState& state) {
  OrderedJson feeds = OrderedJson::array();
  for (const FeedPosition& feed : state.feeds)
    feeds.push_back({{"source", feed.source}, {"position", feed.position}});
  return {{"step", state.step},
          {"tokens", state.tokens},
          {"rows", state.rows},
          {"feeds", feeds},
          {"attempt", state.attempt},
          {"flops", state.flops},
          {"effective_seconds", state.effective_seconds},
          {"wall_seconds", state.wall_seconds},
          {"tokenizer", state.tokenizer},
          {"fingerprint", state.fingerprint},
          {"config", state.config}};
}

RunState read_state(const Reader& read) {
  RunState state{.step = read.integer("step", 0, kMaxCount),
                 .tokens = read.integer("tokens", 0, kMaxCount),
                 .rows = read.integer("rows", 0, kMaxCount),
                 .flops = read.amount_if_there("flops"),
                 .effective_seconds = read.amount_if_there("effective_seconds"),
                 .wall_seconds = read.amount_if_there("wall_seconds"),
                 .tokenizer = read.text_if_there("tokenizer"),
                 .fingerprint = read.text("fingerprint"),
                 .config = read.text("config"),
                 .attempt = read.integer("attempt", 0, kMaxCount)};
  for (const Reader& feed : read.objects("feeds"))
    state.feeds.push_back({feed.text("source"), feed.integer("position", 0, kMaxCount)});
  return state;
}

// Of format 1: files and tables have the names that follow from the rank.
OldFile read_old_file(const Reader& read) {
  const auto rank = rank_of_shard(read.name("name"));
  if (!rank) throw read.bad("name");
  if (read.name("table") != old_table_name(*rank)) throw read.bad("table");
  return {.rank = *rank,
          .bytes = read.integer("bytes", 0, kMaxStoredBytes),
          .table_bytes = read.integer("table_bytes", 0, kMaxOldTableBytes),
          .table_digest = read.digest("table_digest")};
}

void read_old_files(const Reader& read, Manifest& manifest) {
  for (const Reader& file : read.objects("files")) manifest.old_files.push_back(read_old_file(file));
  const auto unordered = [](const OldFile& a, const OldFile& b) { return a.rank >= b.rank; };
  if (std::adjacent_find(manifest.old_files.begin(), manifest.old_files.end(), unordered) !=
      manifest.old_files.end())
    throw read.bad("files");
}

void read_table(const Reader& read, Manifest& manifest) {
  manifest.table_bytes = read.integer("bytes", 0, kMaxTableBytes);
  manifest.table_digest = read.digest("digest");
}

OrderedJson table_json(const Manifest& manifest) {
  return {{"bytes", manifest.table_bytes}, {"digest", hex(manifest.table_digest)}};
}

// The digest covers every byte before its digits; what follows them is fixed.
void check_own_digest(std::string_view text, const std::filesystem::path& path) {
  const std::size_t after = kDigits + kTail.size();
  const bool sealed = text.size() > after && text.ends_with(kTail);
  const auto stated =
      sealed ? digest_from_hex(text.substr(text.size() - after, kDigits)) : std::optional<Digest>();
  if (!stated || *stated != digest_of(text.substr(0, text.size() - after)))
    throw input_error(path.string(), ": does not match its own digest; it is damaged or unfinished");
}

std::string dumped(const OrderedJson& json) {
  try {
    return json.dump();
  } catch (const Json::exception& error) {  // text that is not UTF-8
    throw input_error("a checkpoint cannot hold this run's state: ", error.what());
  }
}

std::string member(std::string_view key, const std::string& value) { return cat(" \"", key, "\": ", value); }

// An array, one element a line.
template <class Value, class ToJson>
std::string lines(const std::vector<Value>& values, ToJson to_json) {
  std::string text = "[";
  for (const char* separator = "\n  "; const Value& value : values) {
    text += separator + dumped(to_json(value));
    separator = ",\n  ";
  }
  return text + "]";
}

}  // namespace

RankTable parse_old_table(std::string_view text, std::int64_t file_bytes, const std::filesystem::path& path) {
  const Json json = parse(text);
  const Reader read(json, path);
  read.check_format(kTableFormat);
  RankTable table{.bytes = read.integer("bytes", 0, kMaxStoredBytes)};
  if (table.bytes != file_bytes)
    throw input_error(path.string(), ": is of a file of ", table.bytes, " bytes, the manifest says ",
                      file_bytes);
  for (const Reader& tensor : read.objects("tensors")) table.tensors.push_back(read_tensor(tensor));
  for (const Reader& piece : read.objects("pieces")) table.pieces.push_back(read_piece(piece, table));
  table.extents = read.digests("extents", extents_of(table.bytes));
  return table;
}

StoredFile file_of(std::int64_t rank, const RankTable& table, std::span<const StoredTensor> tensors) {
  StoredFile file{.rank = rank, .bytes = table.bytes, .pieces = table.pieces, .extents = table.extents};
  for (StoredPiece& piece : file.pieces) {
    const StoredTensor& tensor = table.tensors[static_cast<std::size_t>(piece.tensor)];
    const std::optional<int> index = index_of(tensors, tensor);
    DROVER_CHECK(index.has_value(), describe(tensor));
    piece.tensor = *index;
  }
  return file;
}

std::string manifest_text(const Manifest& manifest) {
  const std::string text =
      cat("{\n", member("format", dumped(kFormat)), ",\n", member("version", cat(kVersion)), ",\n",
          member("extent_bytes", cat(kExtentBytes)), ",\n", member("ranks", cat(manifest.ranks)), ",\n",
          member("state", dumped(state_json(manifest.state))), ",\n",
          member("tensors", lines(manifest.tensors, tensor_json)), ",\n",
          member("table", dumped(table_json(manifest))), ",\n", member("digest", "\""));
  return text + hex(digest_of(text)) + std::string(kTail);
}

Manifest parse_manifest(std::string_view text, const std::filesystem::path& path) {
  check_own_digest(text, path);
  const Json json = parse(text);
  const Reader read(json, path);
  const int format = read.check_format(kFormat);
  if (read.integer("extent_bytes", 1, kMaxCount) != kExtentBytes) throw read.bad("extent_bytes");
  Manifest manifest{
      .state = read_state(read.object("state")),
      .ranks = static_cast<int>(read.integer("ranks", 1, std::numeric_limits<int>::max())),
      .format = format,
  };
  for (const Reader& tensor : read.objects("tensors")) manifest.tensors.push_back(read_tensor(tensor));
  const auto unordered = [](const StoredTensor& a, const StoredTensor& b) { return !before(a, b); };
  if (std::adjacent_find(manifest.tensors.begin(), manifest.tensors.end(), unordered) !=
      manifest.tensors.end())
    throw read.bad("tensors");
  format == 1 ? read_old_files(read, manifest) : read_table(read.object("table"), manifest);
  return manifest;
}

std::string tensors_text(std::span<const StoredTensor> tensors) {
  OrderedJson all = OrderedJson::array();
  for (const StoredTensor& tensor : tensors) all.push_back(tensor_json(tensor));
  return OrderedJson({{"tensors", all}}).dump();
}

std::vector<StoredTensor> parse_tensors(std::string_view text) {
  const std::filesystem::path path = "another rank's tensors";
  const Json json = parse(text);
  std::vector<StoredTensor> tensors;
  for (const Reader& tensor : Reader(json, path).objects("tensors")) tensors.push_back(read_tensor(tensor));
  return tensors;
}

}  // namespace drover
