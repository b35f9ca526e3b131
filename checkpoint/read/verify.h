// All of a checkpoint against its digests.
#pragma once

#include <vector>

#include "checkpoint/read/contents.h"
#include "checkpoint/read/extent_reader.h"

namespace drover {

// Every extent of every file, the work shared by the ranks. Error{input} on all ranks if the manifest or a
// table is damaged, or with the first damage that the lowest rank found. Collective.
void verify_together(const ReadTogether& together, const Manifest& manifest);

// What is damaged in one file and its table, all of it. With the digests right, HDF5 reads the file too, and
// what it finds is compared with the table.
std::vector<Damage> damage_of(FileSystem& files, const std::filesystem::path& directory,
                              const StoredFile& file);

}  // namespace drover
