#include "train/peak.h"

#include <algorithm>
#include <chrono>

#include "core/ops/ops.h"

namespace drover {

namespace {

// A matrix of ones that owns its memory.
struct Matrix {
  Matrix(const Exec& exec, Memory& memory, DType dtype, std::int64_t rows, std::int64_t cols)
      : buffer(memory, rows * cols * size_of(dtype), MemoryCategory::scratch),
        tensor(buffer.tensor(dtype, {rows, cols})) {
    ops::fill(exec, {.out = tensor, .value = 1});
  }
  Buffer buffer;
  Tensor tensor;
};

// FLOP/s of the best of a few rounds.
double best_rate(const Exec& exec, const Matmul& product) {
  constexpr int kRounds = 5;
  const std::int64_t depth = product.a.dims[product.product == Product::tn ? 0 : 1];
  const double flops = 2.0 * static_cast<double>(product.out.numel()) * static_cast<double>(depth);
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    ops::matmul(exec, product);
    exec.backend.synchronize(exec.stream);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, flops / seconds.count());
  }
  return best;
}

}  // namespace

double measure_product_peak(const Exec& exec, Memory& memory, DType compute) {
  const std::int64_t n = compute == DType::float64 ? 256 : 1024;
  const Matrix a(exec, memory, compute, n, n), b(exec, memory, compute, n, n),
      out(exec, memory, compute, n, n);
  return best_rate(exec, {.product = Product::nt, .a = a.tensor, .b = b.tensor, .out = out.tensor});
}

LinearRates measure_linear(const Exec& exec, Memory& memory, DType compute, const LinearShape& shape) {
  const Matrix x(exec, memory, compute, shape.tokens, shape.in),
      y(exec, memory, compute, shape.tokens, shape.out), weight(exec, memory, compute, shape.out, shape.in),
      gradient(exec, memory, master_dtype(compute), shape.out, shape.in);
  return {.y = best_rate(exec, {.product = Product::nt, .a = x.tensor, .b = weight.tensor, .out = y.tensor}),
          .dx = best_rate(exec, {.product = Product::nn, .a = y.tensor, .b = weight.tensor, .out = x.tensor}),
          .dw = best_rate(exec, {.product = Product::tn,
                                 .a = y.tensor,
                                 .b = x.tensor,
                                 .out = gradient.tensor,
                                 .write = Write::add})};
}

}  // namespace drover
