// Reading a token store of 256 MiB as training does, in rows of 4,096 tokens in random order, on one thread, from the
// page cache: the first pass, which checks the digest of every extent, and a later one, which does not.
#include <benchmark/benchmark.h>

#include <numeric>
#include <random>

#include "data/store/token_store.h"
#include "data/store/writer.h"
#include "tests/support/temporary_folder.h"

namespace drover {
namespace {

constexpr std::int64_t kRow = 4096, kRows = 32768;

struct Store {
  Store() {
    StoreWriter writer(files, {.path = path, .vocab_size = 50'000, .tokenizer_digest = std::string(32, 'a')});
    std::mt19937 random(1);
    std::vector<std::int32_t> ids(kRow);
    for (std::int64_t row = 0; row < kRows; ++row) {
      for (auto& id : ids) id = static_cast<std::int32_t>(random() % 50'000);
      writer.add(ids, 4 * kRow);
    }
    writer.finish();
    writer.publish();
    order.resize(kRows);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
  }

  std::int64_t read(const TokenStore& store) const {
    std::vector<std::int32_t> ids(kRow);
    std::int64_t sum = 0;
    for (const std::int64_t row : order) {
      store.read(store.offset(row), ids);
      sum += ids[0];
    }
    return sum;
  }

  TemporaryFolder folder;
  PosixFileSystem files;
  std::filesystem::path path = folder.path() / "store.h5";
  std::vector<std::int64_t> order;
};

void first_pass(benchmark::State& state) {
  Store made;
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(made.read(TokenStore(made.files, made.path)));
  state.SetBytesProcessed(2 * kRow * kRows * state.iterations());
}

void later_pass(benchmark::State& state) {
  Store made;
  const TokenStore store(made.files, made.path);
  made.read(store);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(made.read(store));
  state.SetBytesProcessed(2 * kRow * kRows * state.iterations());
}

BENCHMARK(first_pass)->Unit(benchmark::kMillisecond);
BENCHMARK(later_pass)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace drover
