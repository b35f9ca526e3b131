// Ranks as MPI processes. All MPI calls of a process are made by its progress thread, which moves what was
// started while the rank computes; the sums of reductions are made by the rank's thread where it waits. Bytes
// travel by MPI's own transports, within a host and between hosts. Host memory only. Built only with MPI.
#pragma once

#include <memory>

#include "parallel/local_comm.h"

namespace drover {

// The process's MPI: initialises in the constructor, finalises in the destructor. At most one per process,
// made by launch/ and by the test main. Throws Error{usage} when the MPI library gives less threading than a
// progress thread needs.
//
// MPI ends in order only when all ranks come to its end. So a rank that leaves because of an exception says
// why with world->abort(text, exit), which ends all ranks, mpirun with that exit code. Where nobody does, the
// destructor ends all ranks when an exception unwinds or after an operation was given up, without the text.
class MpiProcess {
 public:
  MpiProcess(int* argc, char*** argv);
  ~MpiProcess();
  MpiProcess(const MpiProcess&) = delete;
  MpiProcess& operator=(const MpiProcess&) = delete;

  // All ranks of the job. Communicators must be destroyed before the process object.
  std::unique_ptr<Communicator> world(const CommOptions& options = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace drover
