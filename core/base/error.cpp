#include "core/base/error.h"

#include <algorithm>

namespace drover {

std::string nearest_multiples(std::int64_t value, std::int64_t unit) {
  const std::int64_t below = std::max<std::int64_t>(0, value) / unit * unit;
  return cat(below > 0 ? cat(below, " and ") : "", below + unit);
}

void fail_check(const char* file, int line, const char* condition, const std::string& detail) {
  throw Error(Exit::internal,
              cat(file, ":", line, ": broken invariant: ", condition, detail.empty() ? "" : ": ", detail));
}

}  // namespace drover
