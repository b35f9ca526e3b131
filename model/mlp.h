// SwiGLU feed-forward: the second half of a block.
//
//   gate_up = x Wgu^T; hidden = silu(gate) * up; y = hidden Wdown^T
//
// A rank has N / TP tokens of x and y, and its F / TP of the hidden dim for all N between
// (parallel/regions/tensor_region.h). F below is a rank's.
#pragma once

#include "model/dims.h"
#include "model/linear.h"

namespace drover {

struct MlpWeights {
  Tensor gate_up;  // [2F, D]: rows of gate, then up
  Tensor down;     // [D, F]
};

struct MlpSaved {
  Tensor gate_up;  // [N, 2F]
  Tensor hidden;   // [N, F]
};

class Mlp {
 public:
  // `region` outlives this.
  Mlp(const BlockDims& dims, TensorRegion& region) : dims_(dims), region_(region) {}

  // x [N / TP, D]; writes both tensors of `saved`. Half of the forward pass: the other half is `down`.
  void gate_up(const Exec&, const MlpWeights&, const Tensor& x, const MlpSaved&) const;
  // saved.hidden from saved.gate_up.
  void hidden(const Exec&, const MlpSaved&) const;
  // y [N / TP, D]
  void down(const Exec&, const MlpWeights&, const MlpSaved&, const Tensor& y) const;
  // What backward_weight needs of backward_input.
  struct Gradients {
    Tensor dy;        // [N, D] gathered
    Tensor dgate_up;  // [N, 2F]
  };
  // dy, dx [N / TP, D]; writes `gradients`. `meanwhile` runs while dx is collected.
  void backward_input(const Exec&, const MlpWeights&, const MlpSaved&, const Tensor& dy, const Gradients&,
                      const Tensor& dx, FunctionRef<void()> meanwhile) const;
  // x [N / TP, D]
  void backward_weight(const Exec&, const MlpSaved&, const Tensor& x, const Gradients&,
                       const MlpWeights& gradients) const;

 private:
  BlockDims dims_;
  TensorRegion& region_;
};

}  // namespace drover
