// A rank's life as launch/ lives it, ended in the way that the first argument names; for mpi_end_test.py.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "core/cpu/cpu_backend.h"
#include "parallel/comm/mpi/mpi_comm.h"

namespace drover {
namespace {

constexpr std::int64_t kElements = 100000;  // read and written where they lie, by all ranks

void all_reduce(Communicator& world, const Exec& exec) {
  const Arena::Scope scope(exec.scratch);
  const Tensor x = exec.scratch.take(DType::float32, {kElements});
  std::fill_n(x.as<float>(), kElements, 1.0F);
  world.all_reduce(exec, {.x = x}).wait(exec);
}

void drop_a_started_operation(Communicator& world, const Exec& exec) {
  const Arena::Scope scope(exec.scratch);
  const Tensor x = exec.scratch.take(DType::float32, {kElements});
  std::fill_n(x.as<float>(), kElements, 1.0F);
  Pending sum = world.all_reduce(exec, {.x = x});
  throw input_error("rank ", world.rank(), " fails inside a sum");
}

void die_in_a_started_operation(Communicator& world, const Exec& exec) {
  const Arena::Scope scope(exec.scratch);
  const Tensor x = exec.scratch.take(DType::float32, {kElements});
  std::fill_n(x.as<float>(), kElements, 1.0F);
  const Pending sum = world.all_reduce(exec, {.x = x});
  std::raise(SIGKILL);
}

void receive(Communicator& world, const Exec& exec, int peer) {
  float x[1];
  world.recv(exec, Tensor::of(x, {1}), peer).join();
}

int end(Communicator& world, const Exec& exec, const std::string& way) {
  const bool last = world.rank() == world.size() - 1;
  all_reduce(world, exec);
  if (way == "abort" && last) world.abort("ended: the last rank aborts", Exit::diverged);
  if (way == "one" && last) throw usage_error("the last rank fails");
  if (way == "started" && last) drop_a_started_operation(world, exec);
  if (way == "killed" && last) die_in_a_started_operation(world, exec);
  if (way == "all") throw input_error("every rank fails");
  if (way.starts_with("late") && last) std::this_thread::sleep_for(std::chrono::seconds(20));
  if (way == "unsent" && !last) receive(world, exec, world.size() - 1);
  all_reduce(world, exec);
  return static_cast<int>(way == "again" ? Exit::run_again : Exit::done);
}

int live(MpiProcess& process, const std::string& way) {
  const bool waits = way.starts_with("late") || way == "unsent";
  const auto world = process.world({.deadline = std::chrono::seconds(waits ? 2 : 60)},
                                   way == "late_by_messages" ? HostPath::messages : HostPath::memory);
  const std::unique_ptr<Memory> memory = process.make_memory();
  const auto backend = make_cpu_backend(*memory);
  const Buffer buffer(*memory, 1 << 20, MemoryCategory::scratch);
  Arena scratch(buffer);
  try {
    return end(*world, {.backend = *backend, .scratch = scratch}, way);
  } catch (const Error& error) {
    world->abort(cat("ended: ", error.what()), error.exit());
    throw;  // not reached
  }
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  drover::MpiProcess process(&argc, &argv);
  return drover::live(process, argc > 1 ? argv[1] : "");
}
