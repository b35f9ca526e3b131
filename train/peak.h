// What a backend reaches in matrix products: the peak that MFU is a share of, and the products of one linear.
#pragma once

#include "core/ops/exec.h"
#include "core/tensor/dtype.h"

namespace drover {

// FLOP/s of the best of a few square products in the compute dtype, on this rank's threads, all operands in
// cache or near it. Takes about a tenth of a second. Ranks of one host should measure at the same time, as
// they will train.
double measure_product_peak(const Exec& exec, Memory& memory, DType compute);

// The products of a linear that maps `in` numbers of each token to `out`.
struct LinearShape {
  std::int64_t tokens = 0, in = 0, out = 0;
};
// FLOP/s of each, the best of a few.
struct LinearRates {
  double y = 0, dx = 0, dw = 0;                                      // y = x W^T, dx = dy W, dW += dy^T x
  double together() const { return 3 / (1 / y + 1 / dx + 1 / dw); }  // of the three one after the other
};
LinearRates measure_linear(const Exec& exec, Memory& memory, DType compute, const LinearShape& shape);

}  // namespace drover
