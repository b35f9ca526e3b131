// SwiGLU feed-forward: the second half of a block.
//
//   gate_up = x Wgu^T; hidden = silu(gate) * up; y = hidden Wdown^T
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
  explicit Mlp(const BlockDims& dims) : dims_(dims) {}

  // x [N, D]; writes both tensors of `saved`. Half of the forward pass: the other half is `down`.
  void gate_up(const Exec&, const MlpWeights&, const Tensor& x, const MlpSaved&) const;
  // saved.hidden from saved.gate_up.
  void hidden(const Exec&, const MlpSaved&) const;
  // y [N, D]
  void down(const Exec&, const MlpWeights&, const MlpSaved&, const Tensor& y) const;
  // dy, dx [N, D]; dgate_up [N, 2F] is what backward_weight needs.
  void backward_input(const Exec&, const MlpWeights&, const MlpSaved&, const Tensor& dy,
                      const Tensor& dgate_up, const Tensor& dx) const;
  void backward_weight(const Exec&, const MlpSaved&, const Tensor& x, const Tensor& dy,
                       const Tensor& dgate_up, const MlpWeights& gradients) const;

 private:
  BlockDims dims_;
};

}  // namespace drover
