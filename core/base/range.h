// Numbers in order from `begin` on, without `end`: elements of a tensor, rows of a matrix.
#pragma once

#include <cstdint>

namespace drover {

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t length() const { return end - begin; }
};

}  // namespace drover
