#include "checkpoint/format/tensors.h"

#include <algorithm>
#include <tuple>

#include "core/base/error.h"

namespace drover {

bool before(const StoredTensor& a, const StoredTensor& b) {
  return std::tie(a.name, a.slot) < std::tie(b.name, b.slot);
}

std::string shape_text(const StoredTensor& tensor) {
  return tensor.dims == 1 ? cat(tensor.shape[1]) : cat(tensor.shape[0], "x", tensor.shape[1]);
}

std::string describe(const StoredTensor& tensor) {
  return cat(name_of(tensor.dtype), "[", shape_text(tensor), "] ", tensor.name, " ", tensor.slot);
}

std::optional<int> index_of(std::span<const StoredTensor> tensors, const StoredTensor& tensor) {
  const auto found = std::lower_bound(tensors.begin(), tensors.end(), tensor, before);
  if (found == tensors.end() || *found != tensor) return std::nullopt;
  return static_cast<int>(found - tensors.begin());
}

}  // namespace drover
