// Ranks as MPI processes. Collectives of a group whose ranks all run on one host go through memory: the threads
// that wait take what they need from the others. All else travels by MPI, whose calls a progress thread makes, so
// that it moves while the rank computes; the sums of reductions are made by the rank's thread where it waits.
// Host memory only. Built only with MPI.
#pragma once

#include <memory>

#include "core/tensor/memory.h"
#include "parallel/comm/local/local_comm.h"

namespace drover {

// How the collectives of ranks of one host travel. `memory` becomes `messages` where processes cannot reach each
// other's memory, with the same results.
enum class HostPath : std::uint8_t { memory, messages };

// The process's MPI: initialises in the constructor, finalises in the destructor. At most one per process,
// made by launch/ and by the test main. Throws Error{usage} when the MPI library gives less threading than a
// progress thread needs.
//
// A process that is stopped, killed or cut off is noticed after deadlines.silence() by one other (mpi_comm_watch.h),
// whose operations then throw CommError{Exit::lost} with its rank and host. What waits inside MPI, where nothing can
// be thrown, ends the process after deadlines.joining() with Exit::lost and a message.
//
// MPI ends in order only when all ranks come to its end. So a rank that leaves because of an exception says
// why with world->abort(text, exit), which ends all ranks, mpirun with that exit code; of each host one says it.
// Where nobody does, the
// destructor ends all ranks when an exception unwinds or after an operation was given up, without the text.
class MpiProcess {
 public:
  MpiProcess(int* argc, char*** argv, const Deadlines& deadlines = Deadlines());
  ~MpiProcess();
  MpiProcess(const MpiProcess&) = delete;
  MpiProcess& operator=(const MpiProcess&) = delete;

  // All ranks of the job. Communicators must be destroyed before the process object.
  std::unique_ptr<Communicator> world(const CommOptions& options = {}, HostPath path = HostPath::memory);
  // As Communicator::abort, where no communicator could be made.
  [[noreturn]] void abort(const std::string& reason, Exit exit) noexcept;
  // Host memory with a ledger of its own. What lies in its buffers of 1 MiB and more, the processes of a host read
  // and write in place. It and what is made from it must be destroyed before the process object.
  std::unique_ptr<Memory> make_memory();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Name and version: "Open MPI v4.1.4". Needs no MpiProcess.
std::string mpi_library();

}  // namespace drover
