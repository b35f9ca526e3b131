#include "launch/doctor/folder.h"

#include <unistd.h>

#include <chrono>

#include "launch/process/process.h"
#include "launch/run/directory.h"

namespace drover {

FolderProbe::FolderProbe(FileSystem& files, FolderFacts& facts) : files_(files), parent_(facts.path) {
  const std::string name = cat(".drover-doctor-", host_name(), '-', getpid());
  try {
    files.make_directory(parent_ / name);
    name_ = name;
    const RunLock lock(parent_ / name);
    const auto start = std::chrono::steady_clock::now();
    write_text_atomically(files, parent_ / name / "probe", std::string(4096, 'x'));
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    facts.sync_seconds = taken.count();
    facts.written = true;
  } catch (const Error& error) {
    facts.failure = error.what();
  }
}

FolderProbe::~FolderProbe() {
  try {
    if (!name_.empty()) remove_flat_directory(files_, parent_ / name_);
  } catch (const Error&) {
    // what cannot be removed was reported as a failure to write, or was removed by somebody
  }
}

bool FolderProbe::is_in(FileSystem& files, const std::string& folder, const std::string& name) {
  try {
    return files.exists(std::filesystem::path(folder) / name);
  } catch (const Error&) {
    return false;
  }
}

}  // namespace drover
