#include "train/peak.h"

#include <algorithm>
#include <chrono>

#include "core/ops/ops.h"

namespace drover {

double measure_product_peak(const Exec& exec, Memory& memory, DType compute) {
  const std::int64_t n = compute == DType::float64 ? 256 : 1024;
  constexpr int kRounds = 5;
  const std::int64_t bytes = n * n * size_of(compute);
  const Buffer a(memory, bytes, MemoryCategory::scratch), b(memory, bytes, MemoryCategory::scratch),
      out(memory, bytes, MemoryCategory::scratch);
  const Tensor x = a.tensor(compute, {n, n}), y = b.tensor(compute, {n, n}), z = out.tensor(compute, {n, n});
  for (const Tensor& operand : {x, y}) ops::fill(exec, {.out = operand, .value = 1});
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    ops::matmul(exec, {.product = Product::nt, .a = x, .b = y, .out = z});
    exec.backend.synchronize(exec.stream);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * static_cast<double>(n * n * n) / seconds.count());
  }
  return best;
}

}  // namespace drover
