// A folder that appears under its name when it is complete, or not at all.
#pragma once

#include <filesystem>
#include <string_view>

#include "core/files/filesystem.h"

namespace drover {

class NewFolder {
 public:
  // Makes PATH.partial, and the folders above it. Error{usage} if there is a PATH, or a PATH.partial, which another
  // process may be writing.
  NewFolder(FileSystem& files, const std::filesystem::path& path);
  // Removes what was not published.
  ~NewFolder();
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  // Where to write.
  const std::filesystem::path& partial() const { return partial_; }
  // Error{input} with both numbers if the disk has less than `bytes` to give. A file system that cannot tell passes.
  void require_space(std::int64_t bytes) const;
  // Everything in the folder is synced. Gives it its name.
  void publish();

 private:
  FileSystem& files_;
  std::filesystem::path path_, partial_;
  bool published_ = false;
};

}  // namespace drover
