#include "checkpoint/format/shard_file.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "core/files/hdf5.h"

namespace drover {
namespace {

// HDF5 has no bfloat16: its bits are stored as uint16, and the table says what they are.
StoredType stored_type(DType dtype) {
  switch (dtype) {
    case DType::float64:
      return StoredType::float64;
    case DType::float32:
      return StoredType::float32;
    case DType::bfloat16:
      return StoredType::uint16;
    case DType::int64:
      return StoredType::int64;
    case DType::int32:
      return StoredType::int32;
    case DType::uint8:
      return StoredType::uint8;
  }
  return StoredType::uint8;
}

// Consecutive bytes of the file to be; what lies between is zeros.
struct Content {
  std::int64_t offset = 0, size = 0;
  std::span<const std::byte> bytes;
  std::optional<std::size_t> streamed = {};  // instead of `bytes`: of which entry
};

// Writes a file from its beginning to its end, with a digest of each extent.
class DigestingWriter {
 public:
  explicit DigestingWriter(File& file) : file_(file) {}

  // Zeros up to `offset`, which is not before the end of what was written: left as a hole.
  void skip_to(std::int64_t offset) {
    static constexpr std::array<std::byte, 65536> kZeros{};
    DROVER_CHECK(at_ <= offset, at_, " ", offset);
    while (at_ < offset) {
      const std::size_t gap = std::min(kZeros.size(), static_cast<std::size_t>(offset - at_));
      advance(std::span(kZeros).first(std::min(gap, room())));
    }
  }
  void append(std::span<const std::byte> bytes) {
    for (auto left = bytes; !left.empty();) {
      const auto now = left.first(std::min(left.size(), room()));
      file_.write(now, at_);
      advance(now);
      left = left.subspan(now.size());
    }
  }
  std::vector<Digest> finish(std::int64_t file_bytes) {
    skip_to(file_bytes);
    if (at_ % kExtentBytes != 0) digests_.push_back(stream_.value());
    return std::move(digests_);
  }

 private:
  std::size_t room() const { return static_cast<std::size_t>(kExtentBytes - at_ % kExtentBytes); }

  void advance(std::span<const std::byte> bytes) {
    stream_.add(bytes);
    at_ += static_cast<std::int64_t>(bytes.size());
    if (at_ % kExtentBytes != 0) return;
    digests_.push_back(stream_.value());
    stream_.restart();
  }

  File& file_;
  DigestStream stream_;
  std::int64_t at_ = 0;
  std::vector<Digest> digests_;
};

// Collects what goes into the file: tensors and pieces for the table, datasets for HDF5.
class ShardLayout {
 public:
  void add(const StateEntry& entry, std::size_t index) {
    if (entry.box.empty()) return;
    check(entry);
    const int tensor = tensor_of(entry);
    const int part = parts_[static_cast<std::size_t>(tensor)]++;
    table.pieces.push_back({.tensor = tensor, .box = entry.box});
    const auto [rows, columns] = entry.box.extent;
    const auto dims = [&](std::int64_t first, std::int64_t last) {
      return entry.dims == 1 ? std::vector{last} : std::vector{first, last};
    };
    datasets.push_back({.path = cat(entry.name, "/", entry.slot, "/", part),
                        .type = stored_type(entry.dtype),
                        .dims = dims(rows, columns),
                        .attributes = {{"offset", dims(entry.box.offset[0], entry.box.offset[1])},
                                       {"shape", dims(entry.shape[0], entry.shape[1])}}});
    entries.push_back(index);
  }

  RankTable table;
  std::vector<Hdf5Dataset> datasets;
  std::vector<std::size_t> entries;  // of each dataset, its number

 private:
  static void check(const StateEntry& entry) {
    DROVER_CHECK(is_base_name(entry.name) && is_base_name(entry.slot), entry.name, " ", entry.slot);
    DROVER_CHECK(entry.data.device == DeviceKind::cpu && entry.data.contiguous() &&
                     entry.data.dtype == entry.dtype && entry.data.numel() == entry.box.numel(),
                 entry.name, " ", entry.slot, ": ", entry.data.describe(), " for ", describe(entry.box));
    const Box whole{.offset = {0, 0}, .extent = entry.shape};
    DROVER_CHECK(intersect(entry.box, whole) == entry.box, entry.name, ": ", describe(entry.box), " of ",
                 describe(whole));
  }

  int tensor_of(const StateEntry& entry) {
    const auto [at, added] =
        indices_.try_emplace({entry.name, entry.slot}, static_cast<int>(table.tensors.size()));
    if (added) {
      parts_.push_back(0);
      table.tensors.push_back({.name = entry.name,
                               .slot = entry.slot,
                               .dtype = entry.dtype,
                               .shape = entry.shape,
                               .dims = entry.dims});
    }
    return at->second;
  }

  std::map<std::pair<std::string, std::string>, int> indices_;
  std::vector<int> parts_;  // pieces so far, by tensor
};

// By place in the file; entries[i] is the number of the entry that dataset i holds.
std::vector<Content> contents_of(const Hdf5Plan& plan, const ShardContents& contents,
                                 std::span<const std::size_t> entries) {
  std::vector<Content> all;
  for (const Hdf5Piece& run : plan.metadata)
    all.push_back({.offset = run.offset, .size = std::ssize(run.bytes), .bytes = run.bytes});
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Tensor& data = contents.entries[entries[i]].data;
    Content content{.offset = plan.datasets[i].offset, .size = data.bytes()};
    if (contents.streamed) {
      content.streamed = entries[i];
    } else {
      DROVER_CHECK(data.data != nullptr, contents.entries[entries[i]].name, " has no memory");
      content.bytes = {static_cast<const std::byte*>(data.data), static_cast<std::size_t>(data.bytes())};
    }
    all.push_back(content);
  }
  std::sort(all.begin(), all.end(), [](const Content& a, const Content& b) { return a.offset < b.offset; });
  return all;
}

void write(DigestingWriter& writer, const Content& content, const ShardContents& contents) {
  writer.skip_to(content.offset);
  if (!content.streamed) return writer.append(content.bytes);
  std::int64_t left = content.size;
  contents.streamed(*content.streamed, [&](std::span<const std::byte> piece) {
    left -= std::ssize(piece);
    DROVER_CHECK(left >= 0, contents.entries[*content.streamed].name, " has ", -left, " bytes too many");
    writer.append(piece);
  });
}

}  // namespace

RankTable write_shard_file(FileSystem& files, const std::filesystem::path& path,
                           const ShardContents& contents) {
  ShardLayout layout;
  for (std::size_t i = 0; i < contents.entries.size(); ++i) layout.add(contents.entries[i], i);
  const std::vector<Hdf5Attribute> attributes{{"format", std::string("drover checkpoint shard")},
                                              {"version", std::int64_t{1}}};
  const Hdf5Plan plan = plan_hdf5(std::move(layout.datasets), attributes);
  for (std::size_t i = 0; i < plan.datasets.size(); ++i)
    layout.table.pieces[i].offset = plan.datasets[i].offset;

  const auto file = files.open(path, OpenMode::create);
  file->truncate(plan.bytes);
  DigestingWriter writer(*file);
  for (const Content& content : contents_of(plan, contents, layout.entries)) write(writer, content, contents);
  layout.table.bytes = plan.bytes;
  layout.table.extents = writer.finish(plan.bytes);
  file->sync();
  return std::move(layout.table);
}

}  // namespace drover
