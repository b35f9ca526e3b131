#include "core/error.h"

namespace drover {

void fail_check(const char* file, int line, const char* condition, const std::string& detail) {
  throw Error(Exit::internal,
              cat(file, ":", line, ": broken invariant: ", condition, detail.empty() ? "" : ": ", detail));
}

}  // namespace drover
