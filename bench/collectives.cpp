// Collectives of MpiComm beside Open MPI's own on the same memory, in turns, in one run:
//   mpirun -n 2 build/release/bench/bench_collectives
// Each line gives the median microseconds of both and their ratio. Both wait at once: what MpiComm moves
// while a rank computes does not count here.
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "parallel/mpi_comm.h"

namespace drover {
namespace {

double microseconds_of(const std::function<void()>& work) {
  MPI_Barrier(MPI_COMM_WORLD);
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

class Bench {
 public:
  Bench(Communicator& world, const Exec& exec) : world_(world), exec_(exec) {}

  void compare(const std::string& name, int rounds, const std::function<void()>& ours,
               const std::function<void()>& theirs) const {
    std::vector<double> our_times, their_times;
    for (int round = 0; round < rounds + 2; ++round) {
      const double our = microseconds_of(ours), their = microseconds_of(theirs);
      if (round < 2) continue;  // slots, staging and pages are made in the first
      our_times.push_back(our);
      their_times.push_back(their);
    }
    const double our = median(our_times), their = median(their_times);
    if (world_.rank() == 0)
      std::printf("%-32s drover %10.1f us   Open MPI %10.1f us   ratio %.2f\n", name.c_str(), our, their,
                  our / their);
  }

  void all_reduce(const std::string& size, std::int64_t n, int rounds) const {
    std::vector<float> x(static_cast<std::size_t>(n), 0.0F);
    compare(
        "all_reduce " + size, rounds,
        [&] { world_.all_reduce(exec_, {.x = Tensor::of(x.data(), {n})}).wait(exec_); },
        [&] {
          MPI_Allreduce(MPI_IN_PLACE, x.data(), static_cast<int>(n), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        });
  }

  void reduce_scatter(const std::string& size, std::int64_t n, int rounds) const {
    const std::int64_t part = n / world_.size();
    std::vector<float> in(static_cast<std::size_t>(part * world_.size()), 0.0F),
        out(static_cast<std::size_t>(part));
    const std::vector<int> counts(static_cast<std::size_t>(world_.size()), static_cast<int>(part));
    const ReduceScatter call{.in = Tensor::of(in.data(), {part * world_.size()}),
                             .out = Tensor::of(out.data(), {part})};
    compare(
        "reduce_scatter " + size, rounds, [&] { world_.reduce_scatter(exec_, call).wait(exec_); },
        [&] {
          MPI_Reduce_scatter(in.data(), out.data(), counts.data(), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        });
  }

  void all_gather(const std::string& size, std::int64_t n, int rounds) const {
    const std::int64_t part = n / world_.size();
    std::vector<float> in(static_cast<std::size_t>(part), 0.0F),
        out(static_cast<std::size_t>(part * world_.size()));
    const AllGather call{.in = Tensor::of(in.data(), {part}),
                         .out = Tensor::of(out.data(), {part * world_.size()})};
    const int count = static_cast<int>(part);
    compare(
        "all_gather " + size, rounds, [&] { world_.all_gather(exec_, call).wait(exec_); },
        [&] { MPI_Allgather(in.data(), count, MPI_FLOAT, out.data(), count, MPI_FLOAT, MPI_COMM_WORLD); });
  }

 private:
  Communicator& world_;
  const Exec& exec_;
};

void run(Communicator& world) {
  HostMemory memory;
  const auto backend = make_cpu_backend(memory);
  Arena scratch;
  const Exec exec{.backend = *backend, .scratch = scratch};
  const Bench bench(world, exec);
  bench.all_reduce("8 B", 2, 1000);
  bench.all_reduce("512 B", 128, 1000);
  constexpr std::int64_t kKibibytes[] = {4, 16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10};
  const auto rounds = [](std::int64_t kib) { return kib < 1 << 10 ? 500 : kib < 64 << 10 ? 60 : 11; };
  for (const std::int64_t kib : kKibibytes) bench.all_reduce(cat(kib, " KiB"), kib << 8, rounds(kib));
  for (const std::int64_t kib : kKibibytes) bench.reduce_scatter(cat(kib, " KiB"), kib << 8, rounds(kib));
  bench.all_gather("64 MiB", 1 << 24, 11);
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  {
    drover::MpiProcess process(&argc, &argv);
    drover::run(*process.world());
  }
  MPI_Finalize();
}
