// All of a checkpoint against its digests.
#pragma once

#include <vector>

#include "checkpoint/format/contents.h"
#include "checkpoint/read/extent_reader.h"

namespace drover {

// Every extent of every file, the work shared by the ranks. Error{input} on all ranks if the table cannot be, or with
// the first damage that the lowest rank found. Collective.
void verify_together(const ReadTogether& together, const Contents& contents);

// What is damaged in one file, all of it. With the digests right, HDF5 reads the file too, and what it finds is compared
// with what the table says.
std::vector<Damage> damage_of(FileSystem& files, const std::filesystem::path& directory,
                              const StoredFile& file);

}  // namespace drover
