// Bytes of a checkpoint's files, each checked against its digest before anybody sees it.
#pragma once

#include <filesystem>
#include <list>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/format/table.h"
#include "core/files/filesystem.h"

namespace drover {

// A range of a file that is not as the digests say.
struct Damage {
  std::string file;                 // base name
  std::int64_t begin = 0, end = 0;  // bytes; equal when the file as a whole is meant
  std::string what;
};
std::string describe(const Damage& damage);

// Extents [first, first + digests.size()) of a file of `bytes` bytes in `directory`, all of them: each one's
// digest is compared, and neighbours that differ make one Damage. A file that is missing, has another size or
// cannot be read is Damage too.
struct CheckExtents {
  std::filesystem::path directory;
  std::string file;
  std::int64_t bytes = 0;
  std::int64_t first = 0;
  std::span<const Digest> digests;
};
std::vector<Damage> check_extents(FileSystem& files, const CheckExtents& check);

// Reads any ranges of several files, in memory bounded by `kept` extents. One thread at a time.
class ExtentReader {
 public:
  ExtentReader(FileSystem& files, std::filesystem::path directory, std::size_t kept)
      : files_(files), directory_(std::move(directory)), kept_(kept) {}

  struct Source {
    std::string name;
    std::int64_t bytes = 0;
    std::vector<Digest> digests;  // of all its extents
  };
  // `index` is the caller's number for the file.
  void add_file(int index, Source source) { sources_[index] = std::move(source); }
  // Inside the file. Error{input} with file and byte range if an extent is damaged. A symbolic link in the
  // file's place is refused.
  void read(int index, std::int64_t offset, std::span<std::byte> out);

 private:
  struct Extent {
    int file = 0;
    std::int64_t number = 0;
    std::vector<std::byte> bytes;
  };
  const Extent& extent(int file, std::int64_t number);

  FileSystem& files_;
  std::filesystem::path directory_;
  std::size_t kept_;
  std::map<int, Source> sources_;
  std::list<Extent> extents_;  // used last comes first
};

}  // namespace drover
