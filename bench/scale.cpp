// How long one rank takes to know its place in a run of 405B on very many ranks, and what it holds then: mesh, table of
// layouts, schedule, parameter groups, sampler and loader, measured stages; all but the weights themselves, which are
// shapes here. On one thread: the median of the rounds, and by how much the process has grown after the first. Each case
// has a process of its own, so that what one has taken is not there for the next.
//   bench_scale [--rounds=9]
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <vector>

#include "bench/support.h"
#include "core/cpu/cpu_backend.h"
#include "core/ops/counting_backend.h"
#include "parallel/comm/shape_comm.h"
#include "tests/support/llama3_405b.h"
#include "tests/support/process_memory.h"
#include "train/training.h"

namespace drover {
namespace {

struct Built {
  double seconds = 0;
  std::int64_t kilobytes = 0;  // by which the process grew
};

Built build(const Config& config, int ranks, int rank) {
  PosixFileSystem files;
  HostMemory host;
  const auto real = make_cpu_backend(host, {.threads = 1});
  CountingBackend backend(*real);
  ShapeComm world(ranks, rank);
  Built built;
  built.kilobytes = growth_kilobytes([&] {
    const auto start = std::chrono::steady_clock::now();
    const auto training =
        build_training(config, {.world = world, .backend = backend, .host = host, .files = files});
    built.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  });
  return built;
}

void measure(int ranks, int rank, const Config& config, int rounds) {
  std::vector<double> seconds;
  std::int64_t kilobytes = 0;
  for (int round = 0; round < rounds; ++round) {
    const Built built = build(config, ranks, rank);
    seconds.push_back(built.seconds);
    kilobytes = std::max(kilobytes, built.kilobytes);
  }
  std::printf("%6d ranks  tp8 cp%-2d pp16  rows of %6d tokens  rank %6d  %7.1f ms  %5.1f MB\n", ranks,
              static_cast<int>(config.parallel.context), static_cast<int>(config.train.sequence_length), rank,
              1e3 * median(seconds), 1.024e-3 * static_cast<double>(kilobytes));
}

}  // namespace
}  // namespace drover

int main(int count, char** arguments) {
  using namespace drover;
  const int rounds = static_cast<int>(value_of(count, arguments, "--rounds=", 9));
  for (const int ranks : {16'384, 131'072})
    for (const auto& [context, tokens] : {std::pair{1, 8192}, {16, 131'072}})
      for (const int rank : {0, ranks - 1})
        if (fork() == 0) {
          measure(ranks, rank, llama3_405b(context, tokens), rounds);
          return 0;
        } else {
          wait(nullptr);
        }
}
