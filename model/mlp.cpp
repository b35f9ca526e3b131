#include "model/mlp.h"

namespace drover {

void Mlp::gate_up(const Exec& exec, const MlpWeights& weights, const Tensor& x, const MlpSaved& saved) const {
  linear_forward(exec, x, weights.gate_up, saved.gate_up);
  hidden(exec, saved);
}

void Mlp::hidden(const Exec& exec, const MlpSaved& saved) const {
  ops::swiglu_forward(exec, {.gate_up = saved.gate_up, .y = saved.hidden});
}

void Mlp::down(const Exec& exec, const MlpWeights& weights, const MlpSaved& saved, const Tensor& y) const {
  linear_forward(exec, saved.hidden, weights.down, y);
}

void Mlp::backward_input(const Exec& exec, const MlpWeights& weights, const MlpSaved& saved, const Tensor& dy,
                         const Tensor& dgate_up, const Tensor& dx) const {
  Arena::Scope scope(exec.scratch);
  const Tensor dhidden = exec.scratch.take(dims_.compute, {dy.dims[0], dims_.ffn});
  linear_backward_input(exec, dy, weights.down, dhidden);
  ops::swiglu_backward(exec, {.gate_up = saved.gate_up, .dy = dhidden, .dgate_up = dgate_up});
  linear_backward_input(exec, dgate_up, weights.gate_up, dx);
}

void Mlp::backward_weight(const Exec& exec, const MlpSaved& saved, const Tensor& x, const Tensor& dy,
                          const Tensor& dgate_up, const MlpWeights& gradients) const {
  linear_backward_weight(exec, dy, saved.hidden, gradients.down);
  linear_backward_weight(exec, dgate_up, x, gradients.gate_up);
}

}  // namespace drover
