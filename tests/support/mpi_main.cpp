// The main function of test executables that run under mpirun. Every rank runs the same test cases; rank 0
// reports, the others are heard only when they fail, and mpirun ends with the first nonzero status of any. A
// test must use CHECK, not REQUIRE, before a collective: a rank that leaves early keeps the others waiting
// until the communicator's deadline.
#include <sstream>

#include "tests/support/mpi_world.h"

#define CATCH_CONFIG_RUNNER
#include "tests/support/test_support.h"

namespace {

drover::MpiProcess* process_of_tests = nullptr;

int run_quietly(int argc, char** argv, int rank) {
  std::ostringstream captured;
  std::streambuf* const standard_output = std::cout.rdbuf(captured.rdbuf());
  const int result = Catch::Session().run(argc, argv);
  std::cout.rdbuf(standard_output);
  if (result != 0) std::cerr << "[rank " << rank << "]\n" << captured.str();
  return result;
}

}  // namespace

drover::MpiProcess& drover::mpi_process() { return *process_of_tests; }

int main(int argc, char** argv) {
  drover::MpiProcess process(&argc, &argv);
  process_of_tests = &process;
  const int rank = process.world()->rank();
  return rank == 0 ? Catch::Session().run(argc, argv) : run_quietly(argc, argv, rank);
}
