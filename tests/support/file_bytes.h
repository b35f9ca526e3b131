// Small files of tests, and compressed data made without the libraries that will read it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

inline std::string write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::filesystem::remove(path);  // a new file is far cheaper than one cut to nothing
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
  return path.string();
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

// `value`'s lowest `count` bytes, little-endian.
inline std::string little_endian(std::uint64_t value, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

// CRC-32 of RFC 1952, section 8.
inline std::uint32_t crc32_of(std::string_view bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const unsigned char byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? 0xedb88320u ^ (crc >> 1) : crc >> 1;
  }
  return ~crc;
}

// One gzip member (RFC 1952) of one stored block (RFC 1951); at most 65,535 bytes.
inline std::string gzip_member(std::string_view bytes) {
  const std::string header("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10);
  const std::string length = little_endian(bytes.size(), 2), inverse = little_endian(~bytes.size(), 2);
  return header + '\x01' + length + inverse + std::string(bytes) + little_endian(crc32_of(bytes), 4) +
         little_endian(bytes.size(), 4);
}

// One Zstandard frame (RFC 8878) of one raw block; at most 255 bytes.
inline std::string zstd_frame(std::string_view bytes) {
  const std::string header = "\x28\xb5\x2f\xfd\x20" + little_endian(bytes.size(), 1);
  return header + little_endian(bytes.size() << 3 | 1, 3) + std::string(bytes);
}

// Megatron's index of documents of one sequence each, and its ids as uint16.
struct MegatronFiles {
  std::string idx, bin;
};
inline MegatronFiles megatron_files(const std::vector<std::vector<std::uint16_t>>& documents) {
  MegatronFiles files;
  std::string lengths, offsets, entries;
  for (std::size_t d = 0; d < documents.size(); ++d) {
    lengths += little_endian(documents[d].size(), 4);
    offsets += little_endian(files.bin.size(), 8);
    entries += little_endian(d, 8);
    for (const std::uint16_t id : documents[d]) files.bin += little_endian(id, 2);
  }
  entries += little_endian(documents.size(), 8);
  files.idx = std::string("MMIDIDX\0\0", 9) + little_endian(1, 8) + '\x08' +
              little_endian(documents.size(), 8) + little_endian(documents.size() + 1, 8) + lengths +
              offsets + entries;
  return files;
}

}  // namespace drover
