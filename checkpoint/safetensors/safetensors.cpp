#include "checkpoint/safetensors/safetensors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "core/base/json_text.h"
#include "core/base/printable.h"

namespace drover {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr std::int64_t kLengthBytes = 8;
constexpr std::int64_t kMaxElements = std::int64_t{1} << 50;
constexpr std::size_t kMaxDims = 8;
constexpr const char* kMetadata = "__metadata__";

struct ElementType {
  std::string_view name;
  std::int64_t bytes;
};
constexpr std::array kElementTypes{
    ElementType{"F64", 8},  ElementType{"F32", 4},     ElementType{"F16", 2},    ElementType{"BF16", 2},
    ElementType{"I64", 8},  ElementType{"I32", 4},     ElementType{"I16", 2},    ElementType{"I8", 1},
    ElementType{"U64", 8},  ElementType{"U32", 4},     ElementType{"U16", 2},    ElementType{"U8", 1},
    ElementType{"BOOL", 1}, ElementType{"F8_E4M3", 1}, ElementType{"F8_E5M2", 1}};

template <class... Parts>
Error damaged(const std::filesystem::path& path, const Parts&... parts) {
  return input_error(path.string(), ": ", parts...,
                     "; the file is damaged or no safetensors, fetch it again");
}

// As ASCII, cut to a length that a message can hold.
std::string shown(const Json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace).substr(0, 100);
}

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(), is_control);
}

// The parser keeps the last of equal keys and says nothing.
Json parse_without_duplicates(std::string_view text, const std::filesystem::path& path) {
  if (json_is_deeper_than(text))
    throw damaged(path, "its JSON is nested deeper than ", kMaxJsonLevels, " levels");
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second)
      throw damaged(path, "the key ", shown(value), " is there twice");
    return true;
  };
  Json json = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (!json.is_object()) throw damaged(path, "its header is no JSON object");
  return json;
}

// One tensor's entry of the header.
class Entry {
 public:
  Entry(const std::string& name, const Json& json, const std::filesystem::path& path)
      : name_(name), json_(json), path_(path) {}

  SafetensorsTensor read(std::int64_t data_begin, std::int64_t data_bytes) const {
    if (name_.empty() || has_control_character(name_)) throw bad("name", name_.size());
    SafetensorsTensor tensor{.name = name_, .dtype = dtype(), .shape = shape()};
    const auto [begin, end] = range(data_bytes);
    tensor.offset = data_begin + begin;
    tensor.bytes = end - begin;
    const std::int64_t needed = tensor.numel() * *safetensors_element_bytes(tensor.dtype);
    if (tensor.bytes != needed)
      throw damaged(path_, describe(tensor), " needs ", needed, " bytes and has ", tensor.bytes);
    return tensor;
  }

 private:
  template <class Value>
  Error bad(const char* key, const Value& value) const {
    return damaged(path_, "tensor ", shown(name_), ": ", key, " is ", value);
  }
  Error bad(const char* key) const {
    return bad(key, json_.is_object() && json_.contains(key) ? shown(json_[key]) : "missing");
  }

  std::string dtype() const {
    const Json* value = json_.is_object() && json_.contains("dtype") ? &json_["dtype"] : nullptr;
    if (value == nullptr || !value->is_string()) throw bad("dtype");
    auto name = value->get<std::string>();
    if (!safetensors_element_bytes(name)) throw bad("dtype");
    return name;
  }

  // Unsigned numbers, each at most `limit`.
  std::vector<std::int64_t> numbers(const char* key, std::int64_t limit) const {
    if (!json_.contains(key) || !json_[key].is_array() || json_[key].size() > kMaxDims) throw bad(key);
    std::vector<std::int64_t> numbers;
    for (const Json& value : json_[key]) {
      if (!value.is_number_unsigned() || value.get<std::uint64_t>() > static_cast<std::uint64_t>(limit))
        throw bad(key);
      numbers.push_back(value.get<std::int64_t>());
    }
    return numbers;
  }

  std::vector<std::int64_t> shape() const {
    std::vector<std::int64_t> dims = numbers("shape", kMaxElements);
    std::int64_t elements = 1;
    for (const std::int64_t dim : dims) {
      if (dim > 0 && elements > kMaxElements / dim) throw bad("shape");
      elements *= std::max<std::int64_t>(dim, 1);
    }
    return dims;
  }

  std::pair<std::int64_t, std::int64_t> range(std::int64_t data_bytes) const {
    const std::vector<std::int64_t> ends = numbers("data_offsets", data_bytes);
    if (ends.size() != 2 || ends[0] > ends[1]) throw bad("data_offsets");
    return {ends[0], ends[1]};
  }

  const std::string& name_;
  const Json& json_;
  const std::filesystem::path& path_;
};

// `tensors` by place: each begins where the one before ends.
void check_cover(const std::vector<SafetensorsTensor>& tensors, std::int64_t data_begin,
                 std::int64_t file_bytes, const std::filesystem::path& path) {
  std::int64_t at = data_begin;
  for (const SafetensorsTensor& tensor : tensors) {
    if (tensor.offset != at)
      throw damaged(path, describe(tensor), " begins at byte ", tensor.offset, ", ",
                    tensor.offset < at ? "inside the tensor before it" : "after a gap", " that ends at ", at);
    at += tensor.bytes;
  }
  if (at != file_bytes) throw damaged(path, "it has ", file_bytes, " bytes and its tensors end at ", at);
}

std::string little_endian(std::uint64_t value) {
  std::string bytes;
  for (int i = 0; i < kLengthBytes; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

}  // namespace

std::int64_t SafetensorsTensor::numel() const {
  std::int64_t elements = 1;
  for (const std::int64_t dim : shape) elements *= dim;
  return elements;
}

std::string describe(const SafetensorsTensor& tensor) {
  std::string dims;
  for (const std::int64_t dim : tensor.shape) dims += cat(dims.empty() ? "" : "x", dim);
  return cat(tensor.dtype, "[", dims, "] ", tensor.name);
}

std::optional<std::int64_t> safetensors_element_bytes(std::string_view dtype) {
  for (const ElementType& type : kElementTypes) {
    if (type.name == dtype) return type.bytes;
  }
  return std::nullopt;
}

std::vector<SafetensorsTensor> parse_safetensors_header(std::string_view json, std::int64_t file_bytes,
                                                        const std::filesystem::path& path) {
  const std::int64_t data_begin = kLengthBytes + static_cast<std::int64_t>(json.size());
  if (data_begin > file_bytes) throw damaged(path, "its header ends behind its end");
  std::vector<SafetensorsTensor> tensors;
  const Json header = parse_without_duplicates(json, path);
  for (const auto& [name, entry] : header.items()) {
    if (name != kMetadata)
      tensors.push_back(Entry(name, entry, path).read(data_begin, file_bytes - data_begin));
  }
  std::sort(tensors.begin(), tensors.end(), [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
    return std::tie(a.offset, a.bytes) < std::tie(b.offset, b.bytes);
  });
  check_cover(tensors, data_begin, file_bytes, path);
  return tensors;
}

std::vector<SafetensorsTensor> read_safetensors_header(const File& file) {
  const std::int64_t bytes = file.size();
  if (bytes < kLengthBytes) throw damaged(file.path(), "it has only ", bytes, " bytes");
  std::array<std::byte, kLengthBytes> length_bytes{};
  file.read(length_bytes, 0);
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < length_bytes.size(); ++i)
    length |= std::to_integer<std::uint64_t>(length_bytes[i]) << (8 * i);
  if (length > static_cast<std::uint64_t>(std::min(bytes - kLengthBytes, kMaxSafetensorsHeader)))
    throw damaged(file.path(), "its header says that it has ", length, " bytes, in a file of ", bytes,
                  " (headers are read up to ", kMaxSafetensorsHeader, ")");
  std::string json(length, ' ');
  file.read(std::as_writable_bytes(std::span(json)), kLengthBytes);
  return parse_safetensors_header(json, bytes, file.path());
}

std::string lay_out_safetensors(std::vector<SafetensorsTensor>& tensors) {
  OrderedJson header = {{kMetadata, {{"format", "pt"}}}};
  std::int64_t end = 0;
  for (SafetensorsTensor& tensor : tensors) {
    tensor.offset = end;
    tensor.bytes = tensor.numel() * safetensors_element_bytes(tensor.dtype).value();
    end += tensor.bytes;
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {tensor.offset, end}}};
  }
  std::string json = header.dump();
  json.resize((json.size() + 7) / 8 * 8, ' ');
  for (SafetensorsTensor& tensor : tensors)
    tensor.offset += kLengthBytes + static_cast<std::int64_t>(json.size());
  return little_endian(json.size()) + json;
}

void write_safetensors(FileSystem& files, const std::filesystem::path& path,
                       std::vector<SafetensorsTensor> tensors, TensorBytes bytes) {
  const std::string head = lay_out_safetensors(tensors);
  const auto file = files.open(path, OpenMode::create);
  file->write(bytes_of(head), 0);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::int64_t at = tensors[i].offset;
    bytes(i, [&](std::span<const std::byte> piece) {
      file->write(piece, at);
      at += static_cast<std::int64_t>(piece.size());
    });
    DROVER_CHECK(at == tensors[i].offset + tensors[i].bytes, describe(tensors[i]), " ends at ", at);
  }
  file->sync();
}

std::map<std::string, std::string> parse_safetensors_index(std::string_view text,
                                                           const std::filesystem::path& path) {
  const Json json = parse_without_duplicates(text, path);
  if (!json.contains("weight_map") || !json["weight_map"].is_object())
    throw damaged(path, "it has no \"weight_map\"");
  std::map<std::string, std::string> file_of;
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (!is_base_name(name) || has_control_character(name) || !name.ends_with(".safetensors"))
      throw damaged(path, "tensor ", shown(tensor), " is in ", shown(file),
                    ", which is not the plain name of a safetensors file of this folder");
    file_of[tensor] = name;
  }
  return file_of;
}

std::string safetensors_index(const SafetensorsIndex& index) {
  return OrderedJson({{"metadata", {{"total_parameters", index.parameters}, {"total_size", index.bytes}}},
                      {"weight_map", index.file_of}})
             .dump(2) +
         "\n";
}

}  // namespace drover
