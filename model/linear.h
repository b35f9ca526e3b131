// y = x W^T with W stored [out, in], as Hugging Face and PyTorch do; no bias in a Llama.
// x [N, in], y [N, out]; compute dtype; weight gradients accumulate in master dtype.
#pragma once

#include "core/ops/ops.h"

namespace drover {

inline void linear_forward(const Exec& exec, const Tensor& x, const Tensor& weight, const Tensor& y) {
  ops::matmul(exec, {.product = Product::nt, .a = x, .b = weight, .out = y});
}
inline void linear_backward_input(const Exec& exec, const Tensor& dy, const Tensor& weight,
                                  const Tensor& dx) {
  ops::matmul(exec, {.product = Product::nn, .a = dy, .b = weight, .out = dx});
}
inline void linear_backward_weight(const Exec& exec, const Tensor& dy, const Tensor& x,
                                   const Tensor& dweight) {
  ops::matmul(exec, {.product = Product::tn, .a = dy, .b = x, .out = dweight, .write = Write::add});
}

}  // namespace drover
