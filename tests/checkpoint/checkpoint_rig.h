// A small model's state, cut in several ways over ranks that are threads, saved and loaded. Every element's
// value follows from its tensor's name, slot and index, so any rank can tell whether it got the right one.
#pragma once

#include <atomic>
#include <cstring>
#include <deque>

#include "checkpoint/checkpoint.h"
#include "checkpoint/format/names.h"
#include "checkpoint/write/attempts.h"
#include "core/base/digest.h"
#include "core/cpu/cpu_backend.h"
#include "parallel/comm/local/local_comm.h"
#include "tests/support/recording_filesystem.h"

namespace drover::testing {

enum class Cut : std::uint8_t {
  flat,     // one flat aligned shard each, of all tensors (FSDP)
  rows,     // ranges of rows; vectors by elements
  columns,  // ranges of columns
  first,    // everything on rank 0
  dealt,    // whole tensors in turn (pipeline stages); some ranks have nothing
};
inline constexpr std::array kCuts{Cut::flat, Cut::rows, Cut::columns, Cut::first, Cut::dealt};

// Two blocks' worth of odd shapes.
inline std::vector<ParameterLayout> small_model() {
  return {{.name = "model.embed_tokens.weight", .shape = {37, 12}},
          {.name = "model.layers.0.mlp.up_proj.weight", .shape = {20, 12}},
          {.name = "model.layers.0.input_layernorm.weight", .shape = {1, 12}, .dims = 1},
          {.name = "model.layers.1.mlp.up_proj.weight", .shape = {9, 31}},
          {.name = "model.norm.weight", .shape = {1, 5}, .dims = 1}};
}
inline constexpr std::array<const char*, 3> kSlots{"weight", "moment1", "moment2"};

// The part'th of `parts` equal ranges of [0, n), the last ones shorter.
inline std::pair<std::int64_t, std::int64_t> run_of(std::int64_t n, int part, int parts) {
  return {n * part / parts, n * (part + 1) / parts};
}

inline std::vector<std::pair<int, Box>> boxes_of(const std::vector<ParameterLayout>& table, Cut cut, int rank,
                                                 int ranks) {
  std::vector<std::pair<int, Box>> boxes;
  if (cut == Cut::flat) {
    const GroupLayout group = flat_layout("all", table, 0, 0, 1, ranks);
    const std::int64_t begin = group.shard_size * rank;
    for (const FlatBox& piece : boxes_of_range(group, begin, begin + group.shard_size))
      boxes.emplace_back(piece.parameter, piece.box);
    return boxes;
  }
  for (int i = 0; i < static_cast<int>(table.size()); ++i) {
    const ParameterLayout& parameter = table[static_cast<std::size_t>(i)];
    Box box{.offset = {0, 0}, .extent = parameter.shape};
    if (cut == Cut::first && rank != 0) box.extent = {0, 0};
    if (cut == Cut::dealt && rank != i % ranks) continue;
    if (cut == Cut::rows || cut == Cut::columns) {
      const std::size_t dim = cut == Cut::columns || parameter.dims == 1 ? 1 : 0;
      const auto [begin, end] = run_of(parameter.shape[dim], rank, ranks);
      box.offset[dim] = begin;
      box.extent[dim] = end - begin;
    }
    boxes.emplace_back(i, box);
  }
  return boxes;
}

// One rank's entries and the memory they live in.
class RankState {
 public:
  RankState(const std::vector<ParameterLayout>& table, Cut cut, int rank, int ranks,
            DType dtype = DType::float32) {
    for (const auto& [index, box] : boxes_of(table, cut, rank, ranks)) {
      for (const char* slot : kSlots) add(table[static_cast<std::size_t>(index)], slot, box, dtype);
    }
  }

  // `generation` tells one save's values from another's.
  void fill(int generation) {
    for (const StateEntry& entry : entries)
      each(entry, generation, [](std::byte* at, std::span<const std::byte> value) {
        std::memcpy(at, value.data(), value.size());
      });
  }
  std::int64_t wrong(int generation) const {
    std::int64_t wrong = 0;
    for (const StateEntry& entry : entries)
      each(entry, generation, [&](const std::byte* at, std::span<const std::byte> value) {
        wrong += std::memcmp(at, value.data(), value.size()) != 0;
      });
    return wrong;
  }

  std::vector<StateEntry> entries;

 private:
  void add(const ParameterLayout& parameter, const char* slot, const Box& box, DType dtype) {
    auto& bytes = memory_.emplace_back(static_cast<std::size_t>(box.numel() * size_of(dtype)));
    entries.push_back({.name = parameter.name,
                       .slot = slot,
                       .dtype = dtype,
                       .shape = parameter.shape,
                       .dims = parameter.dims,
                       .box = box,
                       .data = Tensor::of(static_cast<void*>(bytes.data()), dtype, {box.numel()})});
  }

  template <class Use>
  static void each(const StateEntry& entry, int generation, Use use) {
    const Digest seed = digest_of(cat(entry.name, entry.slot, generation));
    const auto size = static_cast<std::size_t>(size_of(entry.dtype));
    auto* at = static_cast<std::byte*>(entry.data.data);
    for (std::int64_t row = 0; row < entry.box.extent[0]; ++row) {
      for (std::int64_t column = 0; column < entry.box.extent[1]; ++column, at += size) {
        const std::int64_t index =
            (entry.box.offset[0] + row) * entry.shape[1] + entry.box.offset[1] + column;
        const std::uint64_t bits = (seed.low + static_cast<std::uint64_t>(index)) * 0x9e3779b97f4a7c15u;
        use(at, std::as_bytes(std::span(&bits, 1)).last(size));
      }
    }
  }

  std::deque<std::vector<std::byte>> memory_;
};

// What save and load are given beside files, of one rank.
struct RankRig {
  explicit RankRig(Communicator& communicator) : world(communicator) {}

  HostMemory memory;
  std::unique_ptr<Backend> backend = make_cpu_backend(memory);
  Arena scratch;
  Exec exec{.backend = *backend, .scratch = scratch};
  Communicator& world;
};

struct TestSave {
  std::filesystem::path folder = "run/checkpoints";
  int ranks = 1;
  Cut cut = Cut::flat;
  std::int64_t step = 100;
  std::int64_t attempt = 1;
  int generation = 0;
  int keep = 3;
  std::int64_t fed_ahead = 0;  // tokens of the last feed used beyond what the step says
  DType dtype = DType::float32;
  std::vector<ParameterLayout> model = small_model();
};

inline RunState run_state(std::int64_t step) {
  return {.step = step,
          .tokens = step * 4096,
          .rows = step * 8,
          .feeds = {{"store-a", step * 3000}, {"store \"b\"\n", step * 1096}},
          .flops = 1.25e24,
          .effective_seconds = 0.1,
          .wall_seconds = 3,
          .tokenizer = "0123456789abcdef0123456789abcdef",
          .fingerprint = "avx512",
          .config = "run: {name: test}\n",
          .attempt = 1};
}

// As a run does when it starts.
inline void begin_attempt(FileSystem& files, const std::filesystem::path& folder, std::int64_t attempt) {
  DROVER_CHECK(claim_attempt(files, folder, attempt - 1) == attempt, attempt);
  open_attempt(files, folder, attempt);
}

// By the attempt of that number, which begins if it has not yet.
inline std::filesystem::path save(FileSystem& files, const TestSave& how) {
  if (!files.exists(how.folder / record_name(how.attempt))) begin_attempt(files, how.folder, how.attempt);
  std::filesystem::path committed;
  run_local_ranks(how.ranks, [&](Communicator& world) {
    RankRig rig(world);
    RankState state(how.model, how.cut, world.rank(), how.ranks, how.dtype);
    state.fill(how.generation);
    RunState run = run_state(how.step);
    run.attempt = how.attempt;
    run.feeds.back().position += how.fed_ahead;
    const auto made =
        save_checkpoint(files, rig.exec, world,
                        {.folder = how.folder, .entries = state.entries, .state = run, .keep = how.keep});
    if (world.rank() == 0) committed = made;
  });
  return committed;
}

// Loads and compares every element; the number of wrong ones on all ranks.
struct TestLoad {
  int ranks = 1;
  Cut cut = Cut::flat;
  int generation = 0;
  DType dtype = DType::float32;
  std::vector<ParameterLayout> model = small_model();
};
inline std::int64_t count_wrong(FileSystem& files, const std::filesystem::path& directory,
                                const TestLoad& how) {
  std::atomic<std::int64_t> wrong = 0;
  run_local_ranks(how.ranks, [&](Communicator& world) {
    RankRig rig(world);
    RankState state(how.model, how.cut, world.rank(), how.ranks, how.dtype);
    load_checkpoint(files, rig.exec, world, directory, state.entries);
    wrong += state.wrong(how.generation);
  });
  return wrong;
}

struct Found {
  std::optional<std::filesystem::path> directory;
  std::vector<std::string> warnings;
};
inline Found find(FileSystem& files, const std::filesystem::path& folder = "run/checkpoints", int ranks = 1) {
  Found found;
  run_local_ranks(ranks, [&](Communicator& world) {
    RankRig rig(world);
    std::vector<std::string> warnings;
    const auto directory = find_checkpoint(files, rig.exec, world, folder,
                                           [&](const std::string& text) { warnings.push_back(text); });
    if (world.rank() == 0) found = {directory, warnings};
  });
  return found;
}

inline std::string hash(FileSystem& files, const std::filesystem::path& directory, int ranks = 1) {
  std::string hash;
  run_local_ranks(ranks, [&](Communicator& world) {
    RankRig rig(world);
    const std::string mine = weight_hash(files, rig.exec, world, directory);
    if (world.rank() == ranks - 1) hash = mine;
  });
  return hash;
}

// A file system with an empty run directory.
inline std::unique_ptr<RecordingFileSystem> empty_run() {
  auto files = std::make_unique<RecordingFileSystem>();
  files->make_directory("run");
  files->sync_directory("");
  return files;
}

template <class Body>
std::string message_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace drover::testing
