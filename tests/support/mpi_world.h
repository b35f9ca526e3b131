// MPI in tests: the main function of the *_mpi executables owns the process's MPI and lends it to the tests.
#pragma once

#include "parallel/comm/mpi/mpi_comm.h"

namespace drover {

// Valid inside test cases only. Making a communicator from it is collective: every rank runs the same tests.
MpiProcess& mpi_process();

}  // namespace drover
