// Ranks as MPI processes. All MPI calls of a process are made by its progress thread; ranks of one host
// reduce through shared memory on the calling threads; device memory is staged through pinned host buffers.
// Built only with MPI.
#pragma once

#include <memory>

#include "parallel/local_comm.h"

namespace drover {

// The process's MPI: initialises in the constructor, finalises in the destructor. At most one per process,
// made by launch/ and by the test main. Throws Error{usage} when the MPI library gives less threading than a
// progress thread needs.
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
