#include "launch/build_identity.h"

#include "build_info.h"

namespace drover {

std::string build_version() { return kBuildVersion; }
std::string build_commit() { return kBuildCommit; }
std::string build_options() { return kBuildOptions; }

}  // namespace drover
