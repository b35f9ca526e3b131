// drover verify on processes: ranks that a run leaves out wait for as long as it takes.
#include <thread>

#include "core/cpu/cpu_backend.h"
#include "tests/support/local_training.h"
#include "tests/support/mpi_world.h"
#include "tests/support/test_support.h"
#include "train/verify.h"

namespace drover::testing {

TEST_CASE("a run of one process may be longer than the deadline of the others' communicator") {
  constexpr std::chrono::milliseconds kDeadline{500};
  HostMemory memory;
  const auto backend = make_cpu_backend(memory, {.threads = 1});
  Arena scratch;
  const Exec control{.backend = *backend, .scratch = scratch};
  PosixFileSystem files;
  const auto world = mpi_process().world({.deadline = kDeadline});
  const auto meeting = mpi_process().world({.deadline = std::chrono::minutes(2)});
  const VerifyProcesses processes{
      .world = *world, .meeting = *meeting, .control = control, .files = files, .make_memory = [&] {
        if (world->rank() == 0) std::this_thread::sleep_for(3 * kDeadline);
        return mpi_process().make_memory();
      }};
  const VerifyWork work{.config = with_layout(tiny_config(), {}), .steps = 2};
  for (int run = 0; run < 2; ++run)
    CHECK(record_run_of_processes(processes, 1, work).has_value() == (world->rank() == 0));
}

}  // namespace drover::testing
