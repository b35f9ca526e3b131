// HDF5 files as Drover uses them: contiguous datasets of plain little-endian numbers, whose bytes are read
// and written at their offsets in the file, past the HDF5 library. The library lays out and inspects
// structure only.
//
// Writing is pure: plan_hdf5 gives the file's structure as a value (metadata bytes, dataset offsets, size),
// and whoever writes the file puts the bytes where the plan says. Reading distrusts: see Hdf5File. Any HDF5
// reader (h5py, h5dump) opens what is written here. Thread rules: any thread may call; the library is entered
// by one at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/files/filesystem.h"

namespace drover {

enum class StoredType : std::uint8_t { uint8, uint16, uint32, int32, int64, float32, float64 };
std::int64_t size_of(StoredType type);
std::string_view name_of(StoredType type);

// Of the file (the root group) or of a dataset. Small: strings up to 60,000 bytes; longer text belongs in a
// uint8 dataset.
struct Hdf5Attribute {
  std::string name;
  std::variant<std::int64_t, std::vector<std::int64_t>, std::string> value;
};

struct Hdf5Dataset {
  std::string path;  // "tokens" or "group/group/name", no leading slash; unique
  StoredType type = StoredType::uint8;
  std::vector<std::int64_t> dims;  // 1 to 4, outermost first; 0 is legal
  std::vector<Hdf5Attribute> attributes = {};

  // Known once planned or opened:
  std::int64_t offset = 0;  // of the first byte in the file; 0 when there are no bytes
  std::int64_t numel() const;
  std::int64_t bytes() const { return numel() * size_of(type); }
};

struct Hdf5Piece {
  std::int64_t offset = 0;
  std::vector<std::byte> bytes;
};

// A file to be: metadata where it says, datasets at their offsets, zeros elsewhere. The same input gives the
// same bytes.
struct Hdf5Plan {
  std::int64_t bytes = 0;             // of the whole file
  std::vector<Hdf5Dataset> datasets;  // as given, with offsets: multiples of 4096 (of 64 below 4096 bytes)
  std::vector<Hdf5Piece> metadata;    // by offset, disjoint, none inside a dataset
};
Hdf5Plan plan_hdf5(std::vector<Hdf5Dataset> datasets, std::span<const Hdf5Attribute> file_attributes = {});

// Sets the size of a fresh file and writes the metadata; datasets read as zeros until written at their
// offsets.
void write_metadata(File& file, const Hdf5Plan& plan);

// A file from outside, opened to read. Everything in it is inspected before the constructor returns, and
// Error{input} names the object and the reason if there is anything but groups (at most 8 deep) and
// contiguous datasets of a StoredType that lie inside the file: chunks, filters, external, virtual, soft or
// second hard links, named or compound types. Plugins are never loaded. Attributes of other kinds than
// Hdf5Attribute's are left out.
class Hdf5File {
 public:
  Hdf5File(FileSystem& files, const std::filesystem::path& path, OpenMode mode = OpenMode::read);

  // By path, bytewise.
  const std::vector<Hdf5Dataset>& datasets() const { return datasets_; }
  // Error{input} if there is none of that path and type, or with another number of dims.
  const Hdf5Dataset& dataset(std::string_view path, StoredType type, std::size_t dims) const;
  // Error{input} if missing or of another kind.
  std::int64_t integer(std::string_view attribute) const;
  const std::string& text(std::string_view attribute) const;
  const std::vector<Hdf5Attribute>& attributes() const { return attributes_; }

  // For bulk reads at `offset`, past the library, and for mapping.
  const File& file() const { return *file_; }

 private:
  std::unique_ptr<File> file_;
  std::vector<Hdf5Attribute> attributes_;
  std::vector<Hdf5Dataset> datasets_;
};

}  // namespace drover
