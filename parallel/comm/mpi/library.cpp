#include <mpi.h>

#include <array>

#include "parallel/comm/mpi/mpi_comm.h"

namespace drover {

std::string mpi_library() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string whole(text.data());
  return whole.substr(0, whole.find_first_of(",\n"));  // what follows is where and when it was built
}

}  // namespace drover
