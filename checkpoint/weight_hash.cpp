#include <algorithm>

#include "checkpoint/agreement.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/contents.h"
#include "checkpoint/planned_read.h"

namespace drover {
namespace {

constexpr std::array<std::string_view, 3> kHashedSlots{"weight", "moment1", "moment2"};
constexpr std::int64_t kBandBytes = std::int64_t{4} << 20;
// A band of a tensor that is cut by columns touches an extent of every part's file.
constexpr std::size_t kKeptExtents = 16;

// Tensors (StoredTensor or StateEntry) that the hash covers: by name, then in the order of kHashedSlots.
template <class Tensors>
Tensors hashed_tensors(Tensors tensors) {
  const auto order = [](const auto& tensor) {
    return std::find(kHashedSlots.begin(), kHashedSlots.end(), tensor.slot) - kHashedSlots.begin();
  };
  std::erase_if(tensors, [&](const auto& tensor) { return order(tensor) == std::ssize(kHashedSlots); });
  std::sort(tensors.begin(), tensors.end(), [&](const auto& a, const auto& b) {
    return a.name != b.name ? a.name < b.name : order(a) < order(b);
  });
  return tensors;
}

// tensors[i] has digests[i].
std::string hash_of(std::span<const StoredTensor> tensors, std::span<const Digest> digests,
                    const RunState& state) {
  std::string lines;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& tensor = tensors[i];
    lines += cat(tensor.name, " ", tensor.slot, " ", shape_text(tensor), " ", name_of(tensor.dtype), " ",
                 hex(digests[i]), "\n");
  }
  lines += cat("step ", state.step, "\n");
  for (std::size_t i = 0; i < state.feeds.size(); ++i)
    lines += cat("feed ", i, " ", state.feeds[i].position, "\n");
  return hex(digest_of(lines));
}

// Calls `use` with boxes of at most `elements` elements that follow each other in row-major order.
void for_each_band(const StoredTensor& tensor, std::int64_t elements, FunctionRef<void(const Box&)> use) {
  const auto [rows, columns] = tensor.shape;
  const std::int64_t width = std::min(columns, elements);
  if (width == 0) return;
  const std::int64_t height = width < columns ? 1 : elements / width;
  for (std::int64_t row = 0; row < rows; row += height) {
    for (std::int64_t column = 0; column < columns; column += width) {
      use({.offset = {row, column},
           .extent = {std::min(height, rows - row), std::min(width, columns - column)}});
    }
  }
}

// Wanted without memory to put it: it is read band by band.
StateEntry whole_entry(const StoredTensor& tensor) {
  return {.name = tensor.name,
          .slot = tensor.slot,
          .dtype = tensor.dtype,
          .shape = tensor.shape,
          .dims = tensor.dims,
          .box = tensor.whole()};
}

Digest digest_of_tensor(ExtentReader& extents, const StoredTensor& tensor,
                        std::span<const PlannedRead> reads) {
  const std::int64_t element = size_of(tensor.dtype);
  std::vector<std::byte> bytes;
  DigestStream digest;
  for_each_band(tensor, kBandBytes / element, [&](const Box& band) {
    bytes.resize(static_cast<std::size_t>(band.numel() * element));
    for (PlannedRead read : reads) {
      read.part = intersect(read.part, band);
      if (read.part.empty()) continue;
      for_each_run(read, band, element, [&](const ReadRun& run) {
        extents.read(read.file, run.offset,
                     std::span(bytes).subspan(static_cast<std::size_t>(run.target),
                                              static_cast<std::size_t>(run.bytes)));
      });
    }
    digest.add(bytes);
  });
  return digest.value();
}

// Of all tensors, on all ranks; rank r of n hashes every n-th from r on.
std::vector<Digest> tensor_digests(const ReadTogether& together, const Manifest& manifest,
                                   std::span<const StoredTensor> tensors) {
  const auto ranks = static_cast<std::size_t>(together.world.size());
  const auto first = static_cast<std::size_t>(together.world.rank());
  std::vector<StateEntry> mine;
  for (std::size_t i = first; i < tensors.size(); i += ranks) mine.push_back(whole_entry(tensors[i]));
  ReadPlan plan(mine);
  ExtentReader extents(together.files, together.directory, kKeptExtents);
  plan_reads(together, manifest, plan, extents);

  std::vector<Digest> digests(tensors.size());
  agree(together.exec, together.world, [&] {
    plan.check_complete(together.directory.string());
    std::vector<std::vector<PlannedRead>> by_entry(mine.size());
    for (const PlannedRead& read : plan.reads())
      by_entry[static_cast<std::size_t>(read.entry)].push_back(read);
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const std::size_t at = first + i * ranks;
      digests[at] = digest_of_tensor(extents, tensors[at], by_entry[i]);
    }
  });
  // One rank's digests, zeros from the others.
  const Tensor numbers = Tensor::of(static_cast<void*>(digests.data()), DType::int64,
                                    {static_cast<std::int64_t>(2 * digests.size())});
  if (!digests.empty()) together.world.all_reduce(together.exec, {.x = numbers}).wait(together.exec);
  return digests;
}

}  // namespace

std::string weight_hash(FileSystem& files, const Exec& exec, Communicator& world,
                        const std::filesystem::path& directory) {
  const ReadTogether together{.files = files, .exec = exec, .world = world, .directory = directory};
  const Manifest manifest = read_manifest(together);
  const std::vector<StoredTensor> tensors = hashed_tensors(manifest.tensors);
  return hash_of(tensors, tensor_digests(together, manifest, tensors), manifest.state);
}

std::string weight_hash(std::span<const StateEntry> entries, const RunState& state) {
  std::vector<StoredTensor> tensors;
  std::vector<Digest> digests;
  for (const StateEntry& entry : hashed_tensors(std::vector(entries.begin(), entries.end()))) {
    tensors.push_back({.name = entry.name,
                       .slot = entry.slot,
                       .dtype = entry.dtype,
                       .shape = entry.shape,
                       .dims = entry.dims});
    digests.push_back(digest_of(
        {static_cast<const std::byte*>(entry.data.data), static_cast<std::size_t>(entry.data.bytes())}));
  }
  return hash_of(tensors, digests, state);
}

}  // namespace drover
