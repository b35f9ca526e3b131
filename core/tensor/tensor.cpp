#include "core/tensor/tensor.h"

#include <algorithm>

namespace drover {

namespace {

struct Bytes {
  std::uintptr_t begin = 0, end = 0;
};

// From its first byte to its last, gaps included; not for tensors without elements.
Bytes range_of(const Tensor& x) {
  std::int64_t last = 0;
  for (int dim = 0; dim < x.rank; ++dim) last += (x.dims[dim] - 1) * x.strides[dim];
  const auto begin = reinterpret_cast<std::uintptr_t>(x.data);
  return {begin, begin + static_cast<std::uintptr_t>((last + 1) * size_of(x.dtype))};
}

// Bytes from row to row of a tensor whose rows have no gaps inside; 0 for any other.
std::int64_t pitch_of(const Tensor& x) {
  if (x.rank < 2 || x.dims[0] < 2) return 0;
  return x.slice(0, 0, 1).contiguous() ? x.strides[0] * size_of(x.dtype) : 0;
}

// Of tensors with such rows and one pitch. Row i of `a` meets row i + k of `b` for each i or for none, and the lowest k
// at which b's row ends behind the beginning of a's is the one to look at: at a higher one it begins further behind.
bool rows_meet(const Tensor& a, const Tensor& b, std::int64_t pitch) {
  const Bytes x = range_of(a.slice(0, 0, 1)), y = range_of(b.slice(0, 0, 1));
  const auto ahead =
      static_cast<std::int64_t>(x.begin - y.end);  // how far b's row must go at least, less a byte
  const std::int64_t lowest = (ahead >= 0 ? ahead / pitch : -((-ahead + pitch - 1) / pitch)) + 1;
  const std::int64_t k = std::max(lowest, 1 - a.dims[0]);
  return k < b.dims[0] && static_cast<std::int64_t>(y.begin - x.end) + k * pitch < 0;
}

// The outermost dim that can be cut in two.
int first_long_dim(const Tensor& x) {
  int dim = 0;
  while (x.dims[dim] == 1) ++dim;
  return dim;
}

}  // namespace

Tensor Tensor::of(void* data, DType dtype, std::initializer_list<std::int64_t> dims, DeviceKind device) {
  DROVER_CHECK(dims.size() >= 1 && dims.size() <= kMaxRank, dims.size(), " dims");
  Tensor tensor{
      .data = data, .dtype = dtype, .device = device, .rank = static_cast<std::int8_t>(dims.size())};
  std::copy(dims.begin(), dims.end(), tensor.dims.begin());
  std::int64_t stride = 1;
  for (int dim = tensor.rank - 1; dim >= 0; --dim) {
    DROVER_CHECK(tensor.dims[dim] >= 0, "dim ", dim, " is ", tensor.dims[dim]);
    tensor.strides[dim] = stride;
    stride *= tensor.dims[dim];
  }
  return tensor;
}

std::int64_t Tensor::numel() const {
  if (rank == 0) return 0;
  std::int64_t count = 1;
  for (int dim = 0; dim < rank; ++dim) count *= dims[dim];
  return count;
}

bool Tensor::contiguous() const {
  std::int64_t stride = 1;
  for (int dim = rank - 1; dim >= 0; --dim) {
    if (dims[dim] > 1 && strides[dim] != stride) return false;
    stride *= dims[dim];
  }
  return true;
}

Tensor Tensor::slice(int dim, std::int64_t begin, std::int64_t end) const {
  DROVER_CHECK(dim >= 0 && dim < rank && 0 <= begin && begin <= end && end <= dims[dim], "slice [", begin,
               ", ", end, ") of dim ", dim, " of ", describe());
  Tensor piece = *this;
  piece.dims[dim] = end - begin;
  if (data != nullptr) piece.data = static_cast<std::byte*>(data) + begin * strides[dim] * size_of(dtype);
  return piece;
}

Tensor Tensor::view(std::initializer_list<std::int64_t> new_dims) const {
  Tensor result = of(data, dtype, new_dims, device);
  DROVER_CHECK(result.numel() == numel(), "view of ", describe(), " as ", result.describe());
  if (contiguous()) return result;
  Tensor inner = *this;
  inner.dims[0] = 1;
  DROVER_CHECK(inner.contiguous() && result.dims[0] == dims[0], "view of ", describe(), " as ",
               result.describe());
  result.strides[0] = strides[0];
  return result;
}

Tensor Tensor::as_matrix() const {
  DROVER_CHECK(rank >= 1, "the empty tensor has no rows");
  if (rank == 1) return view({1, dims[0]});
  Tensor matrix = *this;
  matrix.rank = 2;
  matrix.dims = {1, dims[rank - 1]};
  matrix.strides = {strides[rank - 2], 1};
  for (int dim = rank - 2; dim >= 0; --dim) {
    DROVER_CHECK(dims[dim] <= 1 || strides[dim] == matrix.strides[0] * matrix.dims[0], "rows of ", describe(),
                 " have no one stride");
    matrix.dims[0] *= dims[dim];
  }
  return matrix;
}

std::string Tensor::describe() const {
  std::string text = cat(name_of(dtype), "[");
  for (int dim = 0; dim < rank; ++dim) text += cat(dim ? ", " : "", dims[dim]);
  text += "]";
  if (contiguous()) return text;
  text += " strides [";
  for (int dim = 0; dim < rank; ++dim) text += cat(dim ? ", " : "", strides[dim]);
  return text + "]";
}

void Tensor::check_access(DType wanted) const {
  DROVER_CHECK(dtype == wanted, describe(), " read as ", name_of(wanted));
  DROVER_CHECK(device == DeviceKind::cpu, describe(), " lives on a GPU");
}

bool same_shape(const Tensor& a, const Tensor& b) { return a.rank == b.rank && a.dims == b.dims; }

bool same_view(const Tensor& a, const Tensor& b) {
  bool same = a.data == b.data && a.dtype == b.dtype && same_shape(a, b);
  for (int dim = 0; same && dim < a.rank; ++dim) same = a.dims[dim] <= 1 || a.strides[dim] == b.strides[dim];
  return same;
}

// Where the ranges meet, whoever has gaps is cut in halves: most of them are apart at once.
bool overlap(const Tensor& a, const Tensor& b) {
  if (a.data == nullptr || b.data == nullptr || a.numel() == 0 || b.numel() == 0) return false;
  const Bytes x = range_of(a), y = range_of(b);
  if (x.end <= y.begin || y.end <= x.begin) return false;
  if (a.contiguous() && b.contiguous()) return true;
  if (const std::int64_t pitch = pitch_of(a); pitch != 0 && pitch == pitch_of(b))
    return rows_meet(a, b, pitch);
  const bool cut_a = !a.contiguous() && (b.contiguous() || x.end - x.begin >= y.end - y.begin);
  const Tensor &cut = cut_a ? a : b, &other = cut_a ? b : a;
  const int dim = first_long_dim(cut);
  const std::int64_t half = cut.dims[dim] / 2;
  return overlap(cut.slice(dim, 0, half), other) || overlap(cut.slice(dim, half, cut.dims[dim]), other);
}

}  // namespace drover
