// The main function of test executables that run under mpirun. Every rank runs the same test cases; rank 0
// reports, the others are heard only when they fail, and the result is the worst of all ranks. A test must
// use CHECK, not REQUIRE, before a collective: a rank that leaves early keeps the others waiting until
// ctest's time limit.
#include <mpi.h>

#include <sstream>

#define CATCH_CONFIG_RUNNER
#include "tests/support/test_support.h"

namespace {

int run_quietly(int argc, char** argv, int rank) {
  std::ostringstream captured;
  std::streambuf* const standard_output = std::cout.rdbuf(captured.rdbuf());
  const int result = Catch::Session().run(argc, argv);
  std::cout.rdbuf(standard_output);
  if (result != 0) std::cerr << "[rank " << rank << "]\n" << captured.str();
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const int result = rank == 0 ? Catch::Session().run(argc, argv) : run_quietly(argc, argv, rank);
  int worst = 0;
  MPI_Allreduce(&result, &worst, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  MPI_Finalize();
  return worst == 0 ? 0 : 1;
}
