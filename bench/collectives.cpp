// Collectives of MpiComm beside Open MPI's own, in turns, in one run:
//   mpirun -n 2 build/release/bench/bench_collectives
// Open MPI's are measured in the memory that Drover's ranks compute in, and in ordinary memory.
// Each line gives the median microseconds of both and how many times as fast MpiComm is. Before each call every rank
// writes its tensor, as what computes it would: its lines are in that core's caches. Both wait at once: what MpiComm
// moves while a rank computes does not count here. The first line is what the machine itself allows.
#include <mpi.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/support.h"
#include "core/cpu/cpu_backend.h"
#include "parallel/comm/mpi/mpi_comm.h"

namespace drover {
namespace {

double microseconds_of(const std::function<void()>& work) {
  MPI_Barrier(MPI_COMM_WORLD);
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

constexpr std::int64_t kLargest = 64 << 20;  // bytes

// One of the two that are compared: what a rank computes before the call, and the call.
struct Side {
  Tensor computed;
  std::function<void()> call;
};

class Bench {
 public:
  // shared: both sides' tensors. ordinary: pages of this process alone, as programs without such memory have.
  Bench(Communicator& world, const Exec& exec, Arena& shared, Arena& ordinary)
      : world_(world), exec_(exec), shared_(shared), ordinary_(ordinary) {}

  void compare(const std::string& name, int rounds, const Side& ours, const Side& theirs) const {
    std::vector<double> our_times, their_times;
    const auto after_computing = [](const Side& side) {
      std::fill_n(side.computed.as<float>(), side.computed.numel(), 1.0F);
      return microseconds_of(side.call);
    };
    for (int round = 0; round < rounds + 2; ++round) {
      const double our = after_computing(ours), their = after_computing(theirs);
      if (round < 2) continue;  // slots, staging and pages are made in the first
      our_times.push_back(our);
      their_times.push_back(their);
    }
    const double our = median(our_times), their = median(their_times);
    if (world_.rank() == 0)
      std::printf("%-36s drover %10.1f us   Open MPI %10.1f us   %.2f times as fast\n", name.c_str(), our,
                  their, their / our);
  }

  // MPI's own in both kinds of memory, and both ways: in place, as ours is, and from one buffer to another.
  void all_reduce(const std::string& size, std::int64_t n, int rounds) const {
    const Arena::Scope scope(shared_), ordinary_scope(ordinary_);
    const Tensor x = shared_.take(DType::float32, {n}), sum = shared_.take(DType::float32, {n});
    const Tensor y = ordinary_.take(DType::float32, {n}), ysum = ordinary_.take(DType::float32, {n});
    const Side ours{x, [&] { world_.all_reduce(exec_, {.x = x}).wait(exec_); }};
    const auto theirs = [&](const Tensor& computed, const void* in, const Tensor& out) {
      return Side{computed, [=] {
                    MPI_Allreduce(in, out.data, static_cast<int>(n), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
                  }};
    };
    compare("all_reduce " + size, rounds, ours, theirs(x, MPI_IN_PLACE, x));
    compare("  beside MPI's from x to y", rounds, ours, theirs(x, x.data, sum));
    compare("  in ordinary memory, in place", rounds, ours, theirs(y, MPI_IN_PLACE, y));
    compare("  in ordinary memory, from x to y", rounds, ours, theirs(y, y.data, ysum));
  }

  void reduce_scatter(const std::string& size, std::int64_t n, int rounds) const {
    const std::int64_t part = n / world_.size();
    const auto operands = [&](Arena& memory) {
      return ReduceScatter{.in = memory.take(DType::float32, {part * world_.size()}),
                           .out = memory.take(DType::float32, {part})};
    };
    const Arena::Scope scope(shared_), ordinary_scope(ordinary_);
    const ReduceScatter shared = operands(shared_), ordinary = operands(ordinary_);
    const std::vector<int> counts(static_cast<std::size_t>(world_.size()), static_cast<int>(part));
    const Side ours{shared.in, [&] { world_.reduce_scatter(exec_, shared).wait(exec_); }};
    const auto theirs = [&](const ReduceScatter& call) {
      return Side{call.in, [&] {
                    MPI_Reduce_scatter(call.in.data, call.out.data, counts.data(), MPI_FLOAT, MPI_SUM,
                                       MPI_COMM_WORLD);
                  }};
    };
    compare("reduce_scatter " + size, rounds, ours, theirs(shared));
    compare("  in ordinary memory", rounds, ours, theirs(ordinary));
  }

  void all_gather(const std::string& size, std::int64_t n, int rounds) const {
    const std::int64_t part = n / world_.size();
    const Arena::Scope scope(shared_);
    const Tensor in = shared_.take(DType::float32, {part});
    const Tensor out = shared_.take(DType::float32, {part * world_.size()});
    const AllGather call{.in = in, .out = out};
    const int count = static_cast<int>(part);
    const Side ours{in, [&] { world_.all_gather(exec_, call).wait(exec_); }};
    const Side theirs{
        in, [&] { MPI_Allgather(in.data, count, MPI_FLOAT, out.data, count, MPI_FLOAT, MPI_COMM_WORLD); }};
    compare("all_gather " + size, rounds, ours, theirs);
  }

 private:
  Communicator& world_;
  const Exec& exec_;
  Arena &shared_, &ordinary_;
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
  // One large buffer of each kind, as a run's tensors are pieces of such.
  constexpr std::int64_t kBytes = 2 * kLargest + Arena::kAlignment;
  const Buffer buffer(memory, kBytes, MemoryCategory::scratch);
  struct alignas(Arena::kAlignment) Line {
    std::array<std::byte, Arena::kAlignment> bytes;
  };
  std::vector<Line> pages(kBytes / sizeof(Line));
  Arena shared(buffer), ordinary(pages.data(), kBytes, DeviceKind::cpu);
  const Bench bench(world, exec, shared, ordinary);
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
