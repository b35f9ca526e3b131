#include "launch/process/build_identity.h"

#include <hdf5.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <zstd.h>

#include <array>

#include "build_info.h"
#include "core/base/error.h"
#ifdef DROVER_WITH_MPI
#include "parallel/comm/mpi/mpi_comm.h"
#endif

namespace drover {

namespace {

std::string mpi_version() {
#ifdef DROVER_WITH_MPI
  return mpi_library() + ", ";
#else
  return "";
#endif
}

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return cat(major, ".", minor, ".", release);
}

// "10.42 2022-12-11"
std::string pcre2_version() {
  std::array<char, 64> text{};
  pcre2_config(PCRE2_CONFIG_VERSION, text.data());
  const std::string whole(text.data());
  return whole.substr(0, whole.find(' '));
}

}  // namespace

std::string build_version() { return kBuildVersion; }
std::string build_commit() { return kBuildCommit; }
std::string build_options() { return kBuildOptions; }

std::string library_versions() {
  return cat(mpi_version(), "HDF5 ", hdf5_version(), ", PCRE2 ", pcre2_version(), ", Zstandard ",
             ZSTD_versionString());
}

}  // namespace drover
