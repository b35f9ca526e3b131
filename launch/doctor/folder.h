// Doing in a folder what a run does in its own: a folder in it, a lock, a file written, synced and renamed.
#pragma once

#include "core/files/filesystem.h"
#include "launch/doctor/doctor.h"

namespace drover {

class FolderProbe {
 public:
  // Leaves what happened in `facts`, which has the path of an existing folder. Never throws.
  FolderProbe(FileSystem& files, FolderFacts& facts);
  // Removes what was made.
  ~FolderProbe();
  FolderProbe(const FolderProbe&) = delete;
  FolderProbe& operator=(const FolderProbe&) = delete;

  // Of the probe's own folder; empty where it could not be made.
  const std::string& name() const { return name_; }
  // Whether another process's probe is in the folder that this one calls `folder`.
  static bool is_in(FileSystem& files, const std::string& folder, const std::string& name);

 private:
  FileSystem& files_;
  std::filesystem::path parent_;
  std::string name_;
};

}  // namespace drover
