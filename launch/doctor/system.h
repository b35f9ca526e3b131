// What Linux says of this process and its host. Files are looked up under `root` ("/" but in tests); one that is
// missing or unreadable leaves its facts as they are.
#pragma once

#include <filesystem>

#include "launch/doctor/doctor.h"

namespace drover {

// Processor, memory, the container's limits, /dev/shm and GPUs, from the files under root.
void read_host_files(const std::filesystem::path& root, RankFacts& facts);
// Affinity, hardware threads, resource limits and environment, from the system's calls.
void ask_system(RankFacts& facts);
// The existing folder that `path` is, or that it would be made in.
std::filesystem::path existing_part(const std::filesystem::path& path);
// Space and kind of the file system that holds the existing facts.path.
void measure_folder(FolderFacts& facts);

}  // namespace drover
