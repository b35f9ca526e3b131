// How large the table of a checkpoint of Llama 3 405B is, which one rank reads and all ranks get.
#include "checkpoint/format/table.h"
#include "core/cpu/cpu_backend.h"
#include "core/ops/counting_backend.h"
#include "parallel/comm/shape_comm.h"
#include "tests/support/llama3_405b.h"
#include "tests/support/test_support.h"
#include "train/trainer.h"

namespace drover {

namespace {

constexpr int kRanks = 16'384, kSampled = 64;

std::vector<StoredTensor> all_tensors(const Config& config) {
  std::vector<StoredTensor> tensors;
  for (const ParameterLayout& parameter : parameter_table(config.model, 1))
    for (const char* slot : {"moment1", "moment2", "weight"})
      tensors.push_back(
          {.name = parameter.name, .slot = slot, .shape = parameter.shape, .dims = parameter.dims});
  std::sort(tensors.begin(), tensors.end(), before);
  return tensors;
}

// As the rank would write it, but for a few bytes between its datasets.
StoredFile file_of_rank(const Config& config, int rank, const std::vector<StoredTensor>& tensors) {
  PosixFileSystem files;
  HostMemory host;
  const auto real = make_cpu_backend(host);
  CountingBackend backend(*real);
  ShapeComm world(kRanks, rank);
  const Platform platform{.world = world, .backend = backend, .host = host, .files = files};
  const auto training = build_training(config, platform);
  const Trainer trainer(*training, platform);
  StoredFile file{.rank = rank};
  for (const StateEntry& entry : trainer.state_entries(Trainer::Holders::writer)) {
    const auto index = index_of(tensors, {.name = entry.name,
                                          .slot = entry.slot,
                                          .dtype = entry.dtype,
                                          .shape = entry.shape,
                                          .dims = entry.dims});
    REQUIRE(index);
    file.pieces.push_back({.tensor = *index, .box = entry.box, .offset = file.bytes});
    file.bytes += entry.box.numel() * size_of(entry.dtype) + 8;
  }
  file.extents.resize(static_cast<std::size_t>(extents_of(file.bytes)));
  return file;
}

}  // namespace

TEST_CASE("the table of a checkpoint of 405B on 16,384 ranks has less than 64 MB") {
  const Config config = llama3_405b(1, 8192);
  const std::vector<StoredTensor> tensors = all_tensors(config);
  std::size_t bytes = 0, digests = 0, pieces = 0;
  for (int i = 0; i < kSampled; ++i) {
    const StoredFile file = file_of_rank(config, i * (kRanks / kSampled) + i, tensors);
    bytes += file_text(file, tensors).size();
    digests += 16 * file.extents.size();
    pieces += file.pieces.size();
  }
  constexpr std::size_t kEach = kRanks / kSampled;
  CAPTURE(bytes * kEach, digests * kEach, pieces * kEach);
  CHECK(pieces > 0);
  CHECK(bytes * kEach < 64'000'000);
}

}  // namespace drover
