#include "tests/core/ops/op_fixture.h"

#include <cstring>

namespace drover::test {

namespace {

constexpr unsigned char kSentinel = 0xa5;

template <class T>
double read_as(const void* address) {
  T value;
  std::memcpy(&value, address, sizeof value);
  return static_cast<double>(value);
}

template <class T>
void write_as(void* address, double value) {
  T stored{};
  if constexpr (std::is_same_v<T, bfloat16>)
    stored = bfloat16(static_cast<float>(value));
  else
    stored = static_cast<T>(value);
  std::memcpy(address, &stored, sizeof stored);
}

std::int64_t product_of(const std::vector<std::int64_t>& dims) {
  std::int64_t product = 1;
  for (std::int64_t dim : dims) product *= dim;
  return product;
}

Tensor dense(DType dtype, const std::vector<std::int64_t>& d) {
  if (d.size() == 1) return Tensor::of(nullptr, dtype, {d[0]});
  if (d.size() == 2) return Tensor::of(nullptr, dtype, {d[0], d[1]});
  return Tensor::of(nullptr, dtype, {d.at(0), d.at(1), d.at(2)});
}

}  // namespace

Array::Array(DType dtype, std::vector<std::int64_t> dims, std::int64_t gap)
    : tensor(dense(dtype, dims)), gap_(dims.size() > 1 ? gap : 0) {
  const std::int64_t rows = dims[0], width = dims[0] == 0 ? 0 : product_of(dims) / rows;
  bytes_.assign(static_cast<std::size_t>((rows * (width + gap_) + 1) * size_of(dtype)), std::byte{kSentinel});
  tensor.data = bytes_.data();
  if (gap_ > 0) tensor.strides[0] = width + gap_;
  for (std::int64_t i = 0; i < size(); ++i) set(i, 0);
}

Array Array::random(DType dtype, std::vector<std::int64_t> dims, std::uint64_t seed, std::int64_t gap) {
  Array array(dtype, std::move(dims), gap);
  Numbers numbers(seed);
  for (std::int64_t i = 0; i < array.size(); ++i) array.set(i, numbers.symmetric());
  return array;
}

Array Array::of(DType dtype, std::vector<std::int64_t> dims, const std::vector<double>& values) {
  Array array(dtype, std::move(dims));
  for (std::int64_t i = 0; i < array.size(); ++i) array.set(i, values.at(static_cast<std::size_t>(i)));
  return array;
}

void* Array::address(std::int64_t index) const {
  const std::int64_t width = tensor.numel() / tensor.dims[0];
  const std::int64_t element = index / width * (width + gap_) + index % width;
  return static_cast<std::byte*>(tensor.data) + element * size_of(tensor.dtype);
}

double Array::get(std::int64_t index) const {
  switch (tensor.dtype) {
    case DType::float64:
      return read_as<double>(address(index));
    case DType::float32:
      return read_as<float>(address(index));
    case DType::bfloat16:
      return read_as<bfloat16>(address(index));
    case DType::int64:
      return read_as<std::int64_t>(address(index));
    case DType::int32:
      return read_as<std::int32_t>(address(index));
    case DType::uint8:
      return read_as<std::uint8_t>(address(index));
  }
  return 0;
}

void Array::set(std::int64_t index, double value) {
  switch (tensor.dtype) {
    case DType::float64:
      return write_as<double>(address(index), value);
    case DType::float32:
      return write_as<float>(address(index), value);
    case DType::bfloat16:
      return write_as<bfloat16>(address(index), value);
    case DType::int64:
      return write_as<std::int64_t>(address(index), value);
    case DType::int32:
      return write_as<std::int32_t>(address(index), value);
    case DType::uint8:
      return write_as<std::uint8_t>(address(index), value);
  }
}

std::vector<double> Array::values() const {
  std::vector<double> result;
  for (std::int64_t i = 0; i < size(); ++i) result.push_back(get(i));
  return result;
}

bool Array::gaps_untouched() const {
  const std::int64_t rows = tensor.dims[0], width = rows == 0 ? 0 : tensor.numel() / rows;
  const std::int64_t element = size_of(tensor.dtype);
  for (std::int64_t row = 0; row <= rows; ++row) {
    const std::int64_t begin = row < rows ? row * (width + gap_) + width : rows * (width + gap_);
    const std::int64_t end = row < rows ? (row + 1) * (width + gap_) : begin + 1;
    for (std::int64_t byte = begin * element; byte < end * element; ++byte)
      if (bytes_[static_cast<std::size_t>(byte)] != std::byte{kSentinel}) return false;
  }
  return true;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) || std::isnan(b[i])) return std::nan("");
    difference = std::max(difference, std::abs(a[i] - b[i]));
  }
  return difference;
}

double relative_error(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (const double value : b) largest = std::max(largest, std::abs(value));
  const double difference = largest_difference(a, b);
  return difference == 0 ? 0 : difference / largest;
}

double tolerance(DType compute) {
  if (compute == DType::float64) return 1e-13;
  return compute == DType::float32 ? 2e-6 : 0x1p-8;
}

std::vector<CpuPath> available_paths() {
  const bool without_amx = std::getenv("DROVER_TEST_WITHOUT_AMX") != nullptr;
  std::vector<CpuPath> paths = runnable_cpu_paths();
  std::reverse(paths.begin(), paths.end());
  if (paths.front() == CpuPath::amx) std::erase(paths, without_amx ? CpuPath::amx : CpuPath::avx512_bf16);
  return paths;
}

void for_each_case(const std::function<void(Machine&, DType)>& body) {
  for (CpuPath path : available_paths()) {
    Machine machine(path);
    for (DType compute : {DType::float64, DType::float32, DType::bfloat16}) {
      INFO(name_of(compute) << " on " << name_of(path));
      body(machine, compute);
    }
  }
}

}  // namespace drover::test

using namespace drover;
using namespace drover::test;

TEST_CASE("an array with gaps is read back without them") {
  const Array array = Array::random(DType::bfloat16, {3, 5}, 1, 4);
  CHECK(array.tensor.strides[0] == 9);
  CHECK(array.values().size() == 15);
  CHECK(array.gaps_untouched());
  CHECK(array.get(7) == static_cast<double>(array.tensor.as<bfloat16>()[1 * 9 + 2]));
}
