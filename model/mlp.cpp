#include "model/mlp.h"

namespace drover {

void Mlp::gate_up(const Exec& exec, const MlpWeights& weights, const Tensor& x, const MlpSaved& saved) const {
  Arena::Scope scope(exec.scratch);
  region_.gather_matmul(exec, {.product = Product::nt,
                               .shard = x,
                               .weight = weights.gate_up,
                               .full = region_.take_full(exec.scratch, x),
                               .out = saved.gate_up});
  hidden(exec, saved);
}

void Mlp::hidden(const Exec& exec, const MlpSaved& saved) const {
  ops::swiglu_forward(exec, {.gate_up = saved.gate_up, .y = saved.hidden});
}

void Mlp::down(const Exec& exec, const MlpWeights& weights, const MlpSaved& saved, const Tensor& y) const {
  region_.matmul_scatter(exec,
                         {.product = Product::nt, .in = saved.hidden, .weight = weights.down, .shard = y});
}

void Mlp::backward_input(const Exec& exec, const MlpWeights& weights, const MlpSaved& saved, const Tensor& dy,
                         const Gradients& gradients, const Tensor& dx, FunctionRef<void()> meanwhile) const {
  {
    Arena::Scope scope(exec.scratch);
    const Tensor dhidden = exec.scratch.take(dims_.compute, {saved.hidden.dims[0], dims_.ffn});
    region_.gather_matmul(
        exec,
        {.product = Product::nn, .shard = dy, .weight = weights.down, .full = gradients.dy, .out = dhidden});
    ops::swiglu_backward(exec, {.gate_up = saved.gate_up, .dy = dhidden, .dgate_up = gradients.dgate_up});
  }
  region_.matmul_scatter(
      exec, {.product = Product::nn, .in = gradients.dgate_up, .weight = weights.gate_up, .shard = dx},
      meanwhile);
}

void Mlp::backward_weight(const Exec& exec, const MlpSaved& saved, const Tensor& x, const Gradients& g,
                          const MlpWeights& gradients) const {
  Arena::Scope scope(exec.scratch);
  const Tensor full = region_.take_full(exec.scratch, x);
  region_.gather(exec, x, full, [&] { linear_backward_weight(exec, g.dy, saved.hidden, gradients.down); });
  linear_backward_weight(exec, g.dgate_up, full, gradients.gate_up);
}

}  // namespace drover
