// The safetensors format: eight bytes of header length (little-endian), a header of that length in JSON, then
// the tensors' elements, little-endian and row-major, without gaps
// (https://huggingface.co/docs/safetensors, "Format").
//
// Files come from anywhere: every number is bounded and compared with the file's size before it is used, names
// are unique, and the tensors' ranges cover the data exactly once. Thread rules: functions of values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/format/byte_sink.h"
#include "core/files/filesystem.h"

namespace drover {

// A Llama of 405B parameters in one file has a header of 160 kB.
inline constexpr std::int64_t kMaxSafetensorsHeader = std::int64_t{8} << 20;
inline constexpr std::int64_t kMaxSafetensorsIndex = std::int64_t{8} << 20;

struct SafetensorsTensor {
  std::string name;
  std::string dtype;  // the format's name: "F32", "BF16", "F16", ...
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;  // of the first byte in the file
  std::int64_t bytes = 0;

  std::int64_t numel() const;
};
std::string describe(const SafetensorsTensor& tensor);  // "BF16[64x32] model.norm.weight"

// Bytes of an element; none for a dtype that is not in the format.
std::optional<std::int64_t> safetensors_element_bytes(std::string_view dtype);

// The tensors of a file of `file_bytes` bytes whose header, without its length, is `json`; by place in the
// file. Error{input} naming `path`.
std::vector<SafetensorsTensor> parse_safetensors_header(std::string_view json, std::int64_t file_bytes,
                                                        const std::filesystem::path& path);
// The same, read from the file.
std::vector<SafetensorsTensor> read_safetensors_header(const File& file);

// Sets offsets and sizes, in order, and returns the bytes before the data: length and header, padded with
// spaces so that the data begins at a multiple of 8.
std::string lay_out_safetensors(std::vector<SafetensorsTensor>& tensors);

// Writes a new file and syncs it. Of the tensors, name, dtype and shape are read. Memory does not grow with
// them.
void write_safetensors(FileSystem& files, const std::filesystem::path& path,
                       std::vector<SafetensorsTensor> tensors, TensorBytes bytes);

// model.safetensors.index.json: which file of the folder holds which tensor. File names are plain names.
std::map<std::string, std::string> parse_safetensors_index(std::string_view json,
                                                           const std::filesystem::path& path);
struct SafetensorsIndex {
  std::map<std::string, std::string> file_of;  // by tensor
  std::int64_t parameters = 0, bytes = 0;
};
std::string safetensors_index(const SafetensorsIndex& index);

}  // namespace drover
