// Which Drover this is: for --version and run.json. Generated at build time (cmake/DroverBuildInfo.cmake).
#pragma once

#include <string>

namespace drover {

std::string build_version();  // "0.1.0"
std::string build_commit();   // "4b663b9d7e1c", with "-dirty" where the sources were changed
std::string build_options();  // "release, GNU 12.2.0, mpi ON, cuda OFF"

}  // namespace drover
