#include "core/base/thread_pool.h"

#include <atomic>
#include <stdexcept>
#include <vector>

#include "tests/support/test_support.h"

using drover::ThreadPool;

TEST_CASE("every tile runs exactly once, whatever the number of threads") {
  const int threads = GENERATE(1, 2, 3, 8);
  const std::int64_t tiles = GENERATE(0, 1, 2, 7, 1000);
  ThreadPool pool(threads);
  std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tiles));
  for (int round = 0; round < 20; ++round)
    pool.run(tiles, [&](std::int64_t tile, int) { runs[static_cast<std::size_t>(tile)].fetch_add(1); });
  for (const auto& count : runs) CHECK(count.load() == 20);
}

TEST_CASE("two tiles never have the same worker at the same time") {
  constexpr int kThreads = 8;
  ThreadPool pool(kThreads);
  std::vector<std::atomic<int>> busy(kThreads);
  std::atomic<bool> shared_worker{false};
  for (int round = 0; round < 200; ++round)
    pool.run(64, [&](std::int64_t, int worker) {
      if (busy.at(static_cast<std::size_t>(worker)).fetch_add(1) != 0) shared_worker = true;
      busy[static_cast<std::size_t>(worker)].fetch_sub(1);
    });
  CHECK_FALSE(shared_worker);
}

TEST_CASE("results written by tiles are visible after run") {
  ThreadPool pool(3);
  std::vector<int> values(64);
  for (int round = 1; round <= 2000; ++round) {
    pool.run(64, [&](std::int64_t tile, int) { values[static_cast<std::size_t>(tile)] += 1; });
    int wrong = 0;
    for (int value : values) wrong += value != round;
    REQUIRE(wrong == 0);
  }
}

TEST_CASE("the first exception of a tile reaches the caller and the pool goes on working") {
  const int threads = GENERATE(1, 2, 8);
  ThreadPool pool(threads);
  for (int round = 0; round < 50; ++round) {
    CHECK_THROWS_AS(pool.run(100,
                             [](std::int64_t tile, int) {
                               if (tile == 37) throw std::out_of_range("37");
                             }),
                    std::out_of_range);
    std::atomic<int> done{0};
    pool.run(10, [&](std::int64_t, int) { ++done; });
    CHECK(done.load() == 10);
  }
}

TEST_CASE("several pools with more threads than cores make progress together") {
  std::atomic<std::int64_t> sum{0};
  ThreadPool outer(4);
  outer.run(4, [&](std::int64_t, int) {
    ThreadPool inner(4);
    for (int round = 0; round < 300; ++round) inner.run(16, [&](std::int64_t tile, int) { sum += tile; });
  });
  CHECK(sum.load() == 4 * 300 * 120);
}
