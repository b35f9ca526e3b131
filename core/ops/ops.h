// The verbs as model code calls them: shapes and dtypes are checked here, once for every backend; scratch is
// taken from the Exec's arena for the duration of the call; then the backend's verb runs. Formulas and
// shapes: core/ops/backend.h.
//
//   ops::matmul(exec, {.product = Product::nt, .a = x, .b = weight, .out = y});
//
// Errors: Error{internal} naming the verb and the tensors that don't fit.
#pragma once

#include "core/ops/backend.h"

namespace drover::ops {

void fill(const Exec&, const Fill&);
void copy(const Exec&, const Copy&);
void scale(const Exec&, const Scale&);
void matmul(const Exec&, const Matmul&);
void rmsnorm_forward(const Exec&, const RmsNormForward&);
void rmsnorm_backward_input(const Exec&, const RmsNormBackwardInput&);
void rmsnorm_backward_weight(const Exec&, RmsNormBackwardWeight);
void rope(const Exec&, const Rope&);
void attention_forward(const Exec&, AttentionForward);
void attention_backward(const Exec&, AttentionBackward);
void swiglu_forward(const Exec&, const SwigluForward&);
void swiglu_backward(const Exec&, const SwigluBackward&);
void embedding_forward(const Exec&, const EmbeddingForward&);
void embedding_backward(const Exec&, EmbeddingBackward);
void loss_statistics(const Exec&, const LossStatistics&);
void loss_combine(const Exec&, const LossCombine&);
void loss_gradient(const Exec&, const LossGradient&);
void adamw(const Exec&, const AdamW&);
void sum_of_squares(const Exec&, const SumOfSquares&);
void combine(const Exec&, const Combine&);

}  // namespace drover::ops
