#include "checkpoint/read/extent_reader.h"

#include <algorithm>
#include <utility>

namespace drover {
namespace {

std::unique_ptr<File> open_sized(FileSystem& files, const std::filesystem::path& path, std::int64_t bytes) {
  auto file = files.open(path, OpenMode::read_no_follow);
  if (file->size() != bytes)
    throw input_error(path.string(), " has ", file->size(), " bytes, the table says ", bytes);
  return file;
}

void read_extent(const File& file, std::int64_t file_bytes, std::int64_t number,
                 std::vector<std::byte>& out) {
  const std::int64_t begin = number * kExtentBytes;
  out.resize(static_cast<std::size_t>(std::min(kExtentBytes, file_bytes - begin)));
  file.read(out, begin);
}

// Adds an extent's damage to the last one when they are neighbours.
void add_damage(std::vector<Damage>& found, const std::string& file, std::int64_t begin, std::int64_t end) {
  if (!found.empty() && found.back().end == begin) {
    found.back().end = end;
  } else {
    found.push_back({.file = file, .begin = begin, .end = end, .what = "not what was written"});
  }
}

}  // namespace

std::string describe(const Damage& damage) {
  if (damage.begin == damage.end) return cat(damage.file, ": ", damage.what);
  return cat(damage.file, ": bytes ", damage.begin, " to ", damage.end, ": ", damage.what);
}

std::vector<Damage> check_extents(FileSystem& files, const CheckExtents& check) {
  std::vector<Damage> found;
  try {
    const auto file = open_sized(files, check.directory / check.file, check.bytes);
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i < check.digests.size(); ++i) {
      const std::int64_t number = check.first + static_cast<std::int64_t>(i);
      read_extent(*file, check.bytes, number, bytes);
      const std::int64_t begin = number * kExtentBytes;
      if (digest_of(bytes) != check.digests[i])
        add_damage(found, check.file, begin, begin + static_cast<std::int64_t>(bytes.size()));
    }
  } catch (const Error& error) {
    found.push_back({.file = check.file, .what = error.what()});
  }
  return found;
}

void ExtentReader::read(int index, std::int64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const Extent& from = extent(index, offset / kExtentBytes);
    const auto begin = static_cast<std::size_t>(offset % kExtentBytes);
    DROVER_CHECK(begin < from.bytes.size(), offset, " of ", sources_.at(index).bytes);
    const std::size_t now = std::min(out.size(), from.bytes.size() - begin);
    std::copy_n(from.bytes.begin() + static_cast<std::ptrdiff_t>(begin), now, out.begin());
    out = out.subspan(now);
    offset += static_cast<std::int64_t>(now);
  }
}

const ExtentReader::Extent& ExtentReader::extent(int file, std::int64_t number) {
  const auto kept = std::find_if(extents_.begin(), extents_.end(), [&](const Extent& extent) {
    return extent.file == file && extent.number == number;
  });
  if (kept != extents_.end()) {
    extents_.splice(extents_.begin(), extents_, kept);
    return extents_.front();
  }
  Extent next{.file = file, .number = number};
  if (extents_.size() == kept_) {  // its memory is used again
    next.bytes = std::move(extents_.back().bytes);
    extents_.pop_back();
  }
  const Source& source = sources_.at(file);
  const auto path = directory_ / source.name;
  read_extent(*open_sized(files_, path, source.bytes), source.bytes, number, next.bytes);
  if (digest_of(next.bytes) != source.digests.at(static_cast<std::size_t>(number))) {
    const std::int64_t begin = number * kExtentBytes;
    throw input_error(path.string(), ": bytes ", begin, " to ",
                      begin + static_cast<std::int64_t>(next.bytes.size()),
                      " are not what was written; restore the file, or use another checkpoint (`drover "
                      "checkpoint verify` lists all damage)");
  }
  extents_.push_front(std::move(next));
  return extents_.front();
}

}  // namespace drover
