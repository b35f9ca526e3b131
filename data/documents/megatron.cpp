#include "data/documents/megatron.h"

#include <cstring>
#include <limits>

#include "core/base/error.h"

namespace drover {
namespace {

constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr std::int64_t kHeaderBytes = 9 + 8 + 1 + 8 + 8;
constexpr std::int64_t kIndexBytesOfSequence = 4 + 8;

enum TypeCode { kUint8 = 1, kInt16 = 3, kInt32 = 4, kInt64 = 5, kUint16 = 8 };

std::int64_t width_of(int type_code) {
  switch (type_code) {
    case kUint8:
      return 1;
    case kInt16:
    case kUint16:
      return 2;
    case kInt32:
      return 4;
    case kInt64:
      return 8;
    default:
      return 0;
  }
}

template <class Stored>
Stored value_at(std::span<const std::byte> bytes, std::int64_t offset) {
  Stored value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::int64_t id_at(int type_code, std::span<const std::byte> bytes, std::int64_t i) {
  switch (type_code) {
    case kUint8:
      return value_at<std::uint8_t>(bytes, i);
    case kInt16:
      return value_at<std::int16_t>(bytes, 2 * i);
    case kUint16:
      return value_at<std::uint16_t>(bytes, 2 * i);
    case kInt32:
      return value_at<std::int32_t>(bytes, 4 * i);
    default:
      return value_at<std::int64_t>(bytes, 8 * i);
  }
}

FileView map_file(const std::string& path) { return PosixFileSystem().open(path, OpenMode::read)->map(); }

}  // namespace

MegatronReader::MegatronReader(const std::string& index_path)
    : path_(index_path),
      index_(map_file(index_path)),
      tokens_(map_file(index_path.substr(0, index_path.size() - 4) + ".bin")) {
  const std::int64_t size = static_cast<std::int64_t>(index_.bytes.size());
  if (size < kHeaderBytes || std::memcmp(index_.bytes.data(), kMagic.data(), kMagic.size()) != 0 ||
      value_at<std::uint64_t>(index_.bytes, 9) != 1) {
    throw input_error(
        path_,
        ": is no Megatron index of version 1; name the NAME.idx that Megatron-LM's preprocess_data wrote, "
        "or leave --format megatron out");
  }
  type_code_ = value_at<std::uint8_t>(index_.bytes, 17);
  if (width_of(type_code_) == 0)
    throw input_error(path_, ": type code ", type_code_, " is not one of token ids; name an index of tokens");
  sequences_ = value_at<std::int64_t>(index_.bytes, 18);
  const std::int64_t entries = value_at<std::int64_t>(index_.bytes, 26);
  // Bounded first, so that the sum can't overflow.
  if (sequences_ < 0 || entries < 1 || sequences_ > size || entries > size ||
      kHeaderBytes + kIndexBytesOfSequence * sequences_ + 8 * entries != size) {
    throw input_error(path_, ": has ", size, " bytes, which does not fit its ", sequences_, " sequences and ",
                      entries, " document entries; copy it again");
  }
  documents_ = entries - 1;
  lengths_at_ = kHeaderBytes;
  offsets_at_ = lengths_at_ + 4 * sequences_;
  documents_at_ = offsets_at_ + 8 * sequences_;
}

template <class Stored>
Stored MegatronReader::index_value(std::int64_t array_at, std::int64_t i) const {
  return value_at<Stored>(index_.bytes, array_at + i * static_cast<std::int64_t>(sizeof(Stored)));
}

Cut MegatronReader::next(std::int64_t bound, std::string& ids) {
  ids.clear();
  if (next_document_ == documents_) return Cut::end;
  const auto begin = index_value<std::int64_t>(documents_at_, next_document_);
  const auto end = index_value<std::int64_t>(documents_at_, next_document_ + 1);
  if (begin < 0 || begin > end || end > sequences_) {
    throw input_error(path_, ": document ", next_document_ + 1, " is sequences ", begin, " to ", end, " of ",
                      sequences_, "; the index is damaged, copy it again");
  }
  ++next_document_;
  bool too_long = false;
  for (std::int64_t sequence = begin; sequence < end && !too_long; ++sequence) {
    append_sequence(sequence, bound, ids, too_long);
  }
  return too_long ? Cut::too_long : Cut::found;
}

void MegatronReader::append_sequence(std::int64_t sequence, std::int64_t bound, std::string& ids,
                                     bool& too_long) {
  const std::int64_t length = index_value<std::int32_t>(lengths_at_, sequence);
  const auto offset = index_value<std::int64_t>(offsets_at_, sequence);
  const std::int64_t bytes = length * width_of(type_code_);
  const auto size = static_cast<std::int64_t>(tokens_.bytes.size());
  if (length < 0 || offset < 0 || offset > size || bytes > size - offset) {
    throw input_error(path_, ": sequence ", sequence, " is ", bytes, " bytes at ", offset, " of a .bin of ",
                      size, " bytes; one of the two is damaged or cut off, copy both again");
  }
  consumed_ += bytes + kIndexBytesOfSequence;
  const auto stored =
      tokens_.bytes.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(bytes));
  for (std::int64_t i = 0; i < length && !too_long; ++i) {
    const std::int64_t id = id_at(type_code_, stored, i);
    if (id < 0 || id > std::numeric_limits<std::int32_t>::max()) {
      throw input_error(path_, ": sequence ", sequence, " holds ", id,
                        ", which is no token id; copy the .bin again");
    }
    const auto narrow = static_cast<std::int32_t>(id);
    append_bounded(ids, {reinterpret_cast<const char*>(&narrow), sizeof narrow}, bound, too_long);
  }
}

}  // namespace drover
