#include <algorithm>

#include "checkpoint/checkpoint.h"
#include "checkpoint/format/contents.h"
#include "checkpoint/read/tensor_reader.h"
#include "parallel/comm/agreement.h"

namespace drover {
namespace {

constexpr std::array<std::string_view, 3> kHashedSlots{"weight", "moment1", "moment2"};

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

// Of all tensors, on all ranks; rank r of n hashes every n-th from r on.
std::vector<Digest> tensor_digests(const ReadTogether& together, const Contents& contents,
                                   std::span<const StoredTensor> tensors) {
  const auto ranks = static_cast<std::size_t>(together.world.size());
  const auto first = static_cast<std::size_t>(together.world.rank());
  std::vector<StoredTensor> mine;
  for (std::size_t i = first; i < tensors.size(); i += ranks) mine.push_back(tensors[i]);
  TensorReader reader(together, contents, mine);
  std::vector<Digest> digests(tensors.size());
  agree(together.exec, together.world, [&] {
    for (std::size_t i = 0; i < mine.size(); ++i) {
      DigestStream digest;
      reader.read(i, [&](std::span<const std::byte> piece) { digest.add(piece); });
      digests[first + i * ranks] = digest.value();
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
  const Contents contents = read_contents(together);
  const std::vector<StoredTensor> tensors = hashed_tensors(contents.manifest.tensors);
  return hash_of(tensors, tensor_digests(together, contents, tensors), contents.manifest.state);
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
