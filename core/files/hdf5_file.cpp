#include <algorithm>
#include <array>

#include "core/files/hdf5.h"

// What needs no HDF5 library: sizes, look-ups, and writing what was planned.
namespace drover {

std::int64_t size_of(StoredType type) {
  switch (type) {
    case StoredType::uint8:
      return 1;
    case StoredType::uint16:
      return 2;
    case StoredType::uint32:
    case StoredType::int32:
    case StoredType::float32:
      return 4;
    case StoredType::int64:
    case StoredType::float64:
      return 8;
  }
  return 0;
}

std::string_view name_of(StoredType type) {
  constexpr std::array<std::string_view, 7> kNames{"uint8", "uint16",  "uint32", "int32",
                                                   "int64", "float32", "float64"};
  return kNames[static_cast<std::size_t>(type)];
}

std::int64_t Hdf5Dataset::numel() const {
  std::int64_t elements = 1;
  for (const std::int64_t dim : dims) elements *= dim;
  return elements;
}

void write_metadata(File& file, const Hdf5Plan& plan) {
  file.truncate(plan.bytes);
  for (const Hdf5Piece& piece : plan.metadata) file.write(piece.bytes, piece.offset);
}

namespace {
constexpr const char* kRestore = "; restore the file, or name another";
}  // namespace

const Hdf5Dataset& Hdf5File::dataset(std::string_view path, StoredType type, std::size_t dims) const {
  const auto found = std::lower_bound(datasets_.begin(), datasets_.end(), path,
                                      [](const Hdf5Dataset& d, std::string_view p) { return d.path < p; });
  if (found == datasets_.end() || found->path != path)
    throw input_error(file_->path().string(), " has no dataset /", path, kRestore);
  if (found->type != type || found->dims.size() != dims) {
    throw input_error(file_->path().string(), ": the dataset /", path, " is ", name_of(found->type), " with ",
                      found->dims.size(), " dims, not ", name_of(type), " with ", dims, kRestore);
  }
  return *found;
}

namespace {
template <class Value>
const Value& attribute_of(const Hdf5File& file, std::string_view name, std::string_view kind) {
  for (const Hdf5Attribute& attribute : file.attributes()) {
    const Value* value = attribute.name == name ? std::get_if<Value>(&attribute.value) : nullptr;
    if (value != nullptr) return *value;
  }
  throw input_error(file.file().path().string(), " has no ", kind, " attribute ", name, kRestore);
}
}  // namespace

std::int64_t Hdf5File::integer(std::string_view attribute) const {
  return attribute_of<std::int64_t>(*this, attribute, "integer");
}
const std::string& Hdf5File::text(std::string_view attribute) const {
  return attribute_of<std::string>(*this, attribute, "text");
}

}  // namespace drover
