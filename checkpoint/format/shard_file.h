// One rank's part of a checkpoint: its entries in an HDF5 file.
#pragma once

#include <filesystem>
#include <functional>
#include <span>

#include "checkpoint/format/byte_sink.h"
#include "checkpoint/format/manifest.h"
#include "core/files/filesystem.h"

namespace drover {

struct ShardContents {
  std::span<const StateEntry> entries;
  // If set, entries have no memory: this hands over the bytes of entries[index], each once. Bytes at the end that it
  // does not give are zeros, and holes of the file.
  std::function<void(std::size_t index, ByteSink sink)> streamed;
};

// Writes the entries that are not empty, one dataset each, into a new file, and syncs it. Returns the table
// that describes the file. Entries live in host memory. Bytes are digested as they are written, in one pass
// and in chunks: nothing is read back, and no memory is taken in proportion to the data.
RankTable write_shard_file(FileSystem& files, const std::filesystem::path& path,
                           const ShardContents& contents);

}  // namespace drover
