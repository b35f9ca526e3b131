// Which Drover this is, and on which libraries it runs: for --version and run.json. What is known at build time comes
// from cmake/DroverBuildInfo.cmake.
#pragma once

#include <string>

namespace drover {

std::string build_version();  // "0.1.0"
std::string build_commit();   // "4b663b9d7e1c", with "-dirty" where the sources were changed
std::string build_options();  // "release, GNU 12.2.0, mpi ON, cuda OFF, yaml-cpp 0.7.0"
// As loaded by this process: "Open MPI v4.1.4, HDF5 1.10.8, PCRE2 10.42, Zstandard 1.5.4". The backend names oneDNN.
std::string library_versions();

}  // namespace drover
