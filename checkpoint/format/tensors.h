// The logical tensors of a checkpoint, as its manifest lists them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/tensor/tensor.h"
#include "parallel/mesh/layout.h"

namespace drover {

inline constexpr std::int64_t kMaxStoredBytes = std::int64_t{1} << 50;  // of a file or a tensor

// A logical tensor in one slot.
struct StoredTensor {
  std::string name, slot;
  DType dtype = DType::float32;
  std::array<std::int64_t, 2> shape{1, 0};  // vectors are {1, n}
  int dims = 2;

  std::int64_t numel() const { return shape[0] * shape[1]; }
  Box whole() const { return {.offset = {0, 0}, .extent = shape}; }
  bool operator==(const StoredTensor&) const = default;
};
// Bytewise by name, then by slot.
bool before(const StoredTensor& a, const StoredTensor& b);
std::string describe(const StoredTensor& tensor);    // "float32[64x32] model.norm.weight moment1"
std::string shape_text(const StoredTensor& tensor);  // "64x32", "64"
// Where a tensor stands in a list in the order of before(); none where it does not, or is another there.
std::optional<int> index_of(std::span<const StoredTensor> tensors, const StoredTensor& tensor);

}  // namespace drover
