// A Tensor is a view: pointer, element type, up to four dims with strides. Trivially copyable, owns nothing;
// Buffer and Arena (core/tensor/memory.h) own. The innermost dim is always contiguous (stride 1); outer dims may be
// strided, so a column piece of a fused product is a tensor. A null pointer is legal: a shape-only tensor,
// which the counting backend and `--dry-run` run the real program on. Thread rules: a value. Who may touch
// the bytes is the owner's rule.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "core/tensor/dtype.h"

namespace drover {

enum class DeviceKind : std::uint8_t { cpu, cuda };

struct Tensor {
  static constexpr int kMaxRank = 4;

  void* data = nullptr;
  DType dtype = DType::float32;
  DeviceKind device = DeviceKind::cpu;
  std::int8_t rank = 0;                          // 0: the empty tensor
  std::array<std::int64_t, kMaxRank> dims{};     // outermost first
  std::array<std::int64_t, kMaxRank> strides{};  // in elements; strides[rank-1] == 1

  // A contiguous tensor over `data`.
  static Tensor of(void* data, DType dtype, std::initializer_list<std::int64_t> dims,
                   DeviceKind device = DeviceKind::cpu);
  template <class T>
  static Tensor of(T* data, std::initializer_list<std::int64_t> dims) {
    return of(static_cast<void*>(data), dtype_of<T>, dims);
  }

  bool empty() const { return rank == 0; }
  std::int64_t numel() const;
  std::int64_t bytes() const { return numel() * size_of(dtype); }  // of the elements, without gaps
  bool contiguous() const;

  // Elements [begin, end) of one dim; other dims unchanged. Checked.
  Tensor slice(int dim, std::int64_t begin, std::int64_t end) const;
  // The same elements with other dims. Only the outermost stride may be a gap, and only when dims[0] stays
  // (so [T, D] with row stride becomes [T, H, E]); otherwise contiguous. Checked.
  Tensor view(std::initializer_list<std::int64_t> new_dims) const;
  // [.., n] as [numel / n, n]: every verb that works row by row sees its operands like this. Requires that
  // the outer dims collapse onto one stride.
  Tensor as_matrix() const;
  std::int64_t rows() const { return dims[0]; }
  std::int64_t cols() const { return dims[rank - 1]; }
  std::int64_t row_stride() const { return strides[0]; }

  // Typed pointer; checks the dtype and that the tensor lives in host memory.
  template <class T>
  T* as() const {
    check_access(dtype_of<T>);
    return static_cast<T*>(data);
  }
  // "bfloat16[512, 8, 32]", with strides when not contiguous.
  std::string describe() const;

 private:
  void check_access(DType wanted) const;
};

// Same dims (not strides, not dtype).
bool same_shape(const Tensor& a, const Tensor& b);
// The very same elements in the same order, of one dtype.
bool same_view(const Tensor& a, const Tensor& b);
// Whether they share a byte: exact for strided tensors, too (two column pieces of a matrix don't). Null data shares none.
bool overlap(const Tensor& a, const Tensor& b);

}  // namespace drover
