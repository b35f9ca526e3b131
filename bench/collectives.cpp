// Collectives of MpiComm beside Open MPI's own on the same memory, in turns, in one run:
//   mpirun -n 2 build/release/bench/bench_collectives
// Each line gives the median microseconds of both and how many times as fast MpiComm is. Before each call every rank
// writes its tensor, as what computes it would: its lines are in that core's caches. Both wait at once: what MpiComm
// moves while a rank computes does not count here. The first line is what the machine itself allows.
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/support.h"
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

constexpr std::int64_t kLargest = 64 << 20;  // bytes

class Bench {
 public:
  Bench(Communicator& world, const Exec& exec, Arena& arena) : world_(world), exec_(exec), arena_(arena) {}

  void compare(const std::string& name, int rounds, const Tensor& computed, const std::function<void()>& ours,
               const std::function<void()>& theirs) const {
    std::vector<double> our_times, their_times;
    const auto after_computing = [&](const std::function<void()>& work) {
      std::fill_n(computed.as<float>(), computed.numel(), 1.0F);
      return microseconds_of(work);
    };
    for (int round = 0; round < rounds + 2; ++round) {
      const double our = after_computing(ours), their = after_computing(theirs);
      if (round < 2) continue;  // slots, staging and pages are made in the first
      our_times.push_back(our);
      their_times.push_back(their);
    }
    const double our = median(our_times), their = median(their_times);
    if (world_.rank() == 0)
      std::printf("%-32s drover %10.1f us   Open MPI %10.1f us   %.2f times as fast\n", name.c_str(), our,
                  their, their / our);
  }

  // MPI's own both ways: in place, as ours is, and from one buffer to another.
  void all_reduce(const std::string& size, std::int64_t n, int rounds) const {
    const Arena::Scope scope(arena_);
    const Tensor x = arena_.take(DType::float32, {n}), sum = arena_.take(DType::float32, {n});
    const auto ours = [&] { world_.all_reduce(exec_, {.x = x}).wait(exec_); };
    const auto theirs = [&](const void* in, void* out) {
      MPI_Allreduce(in, out, static_cast<int>(n), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    };
    compare("all_reduce " + size, rounds, x, ours, [&] { theirs(MPI_IN_PLACE, x.data); });
    compare("  beside MPI's from x to y", rounds, x, ours, [&] { theirs(x.data, sum.data); });
  }

  void reduce_scatter(const std::string& size, std::int64_t n, int rounds) const {
    const std::int64_t part = n / world_.size();
    const Arena::Scope scope(arena_);
    const Tensor in = arena_.take(DType::float32, {part * world_.size()});
    const Tensor out = arena_.take(DType::float32, {part});
    const std::vector<int> counts(static_cast<std::size_t>(world_.size()), static_cast<int>(part));
    const ReduceScatter call{.in = in, .out = out};
    compare(
        "reduce_scatter " + size, rounds, in, [&] { world_.reduce_scatter(exec_, call).wait(exec_); },
        [&] { MPI_Reduce_scatter(in.data, out.data, counts.data(), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); });
  }

  void all_gather(const std::string& size, std::int64_t n, int rounds) const {
    const std::int64_t part = n / world_.size();
    const Arena::Scope scope(arena_);
    const Tensor in = arena_.take(DType::float32, {part});
    const Tensor out = arena_.take(DType::float32, {part * world_.size()});
    const AllGather call{.in = in, .out = out};
    const int count = static_cast<int>(part);
    compare(
        "all_gather " + size, rounds, in, [&] { world_.all_gather(exec_, call).wait(exec_); },
        [&] { MPI_Allgather(in.data, count, MPI_FLOAT, out.data, count, MPI_FLOAT, MPI_COMM_WORLD); });
  }

 private:
  Communicator& world_;
  const Exec& exec_;
  Arena& arena_;
};

// How fast a core copies what another has just written, in memory that MPI shares: what any collective must do with
// the other ranks' part of the sums.
void report_limit(int rounds) {
  constexpr MPI_Aint kBytes = 1 << 20;
  int rank = 0, size = 1, unit = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Win window = MPI_WIN_NULL;
  MPI_Aint bytes = 0;
  float *mine = nullptr, *theirs = nullptr;
  MPI_Win_allocate_shared(kBytes, 1, MPI_INFO_NULL, MPI_COMM_WORLD, static_cast<void*>(&mine), &window);
  MPI_Win_shared_query(window, (rank + 1) % size, &bytes, &unit, static_cast<void*>(&theirs));
  const std::span<float> written(mine, kBytes / sizeof(float)), read(theirs, kBytes / sizeof(float));
  std::vector<float> copy(read.size());
  std::vector<double> times;
  for (int round = 0; round < rounds; ++round) {
    std::fill(written.begin(), written.end(), 1.0F);
    times.push_back(microseconds_of([&] { std::copy(read.begin(), read.end(), copy.begin()); }));
  }
  if (rank == 0)
    std::printf("a core copies 1 MiB that another has just written in %.1f us, all cores at once\n",
                median(times));
  MPI_Win_free(&window);
}

void run(Communicator& world, Memory& memory) {
  const auto backend = make_cpu_backend(memory);
  Arena scratch;
  const Exec exec{.backend = *backend, .scratch = scratch};
  // One large buffer, as a run's tensors are pieces of such.
  const Buffer buffer(memory, 2 * kLargest + Arena::kAlignment, MemoryCategory::scratch);
  Arena arena(buffer);
  const Bench bench(world, exec, arena);
  report_limit(500);
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
    const std::unique_ptr<drover::Memory> memory = process.make_memory();
    drover::run(*process.world(), *memory);
  }
  MPI_Finalize();
}
