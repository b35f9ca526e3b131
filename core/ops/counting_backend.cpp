#include "core/ops/counting_backend.h"

namespace drover {

namespace {

// The operand once more where it is read as well as written.
Tensor also_read(const Tensor& out, Write write) { return write == Write::add ? out : Tensor{}; }

std::int64_t attention_work(const Tensor& q, std::span<const Segment> segments) {
  return attended_pairs(segments) * q.dims[1] * q.dims[2];
}

}  // namespace

void CountingBackend::touch(std::initializer_list<Tensor> operands) {
  ++count_.verbs;
  for (const Tensor& operand : operands) count_.bytes_touched += operand.bytes();
}

void CountingBackend::fill(const Exec&, const Fill& a) { touch({a.out}); }

void CountingBackend::copy(const Exec&, const Copy& a) { touch({a.in, a.out, also_read(a.out, a.write)}); }

void CountingBackend::scale(const Exec&, const Scale& a) { touch({a.x, a.x}); }

void CountingBackend::matmul(const Exec&, const Matmul& m) {
  touch({m.a, m.b, m.out, also_read(m.out, m.write)});
  count_.matmul_flops += 2 * m.out.numel() * m.a.dims[m.product == Product::tn ? 0 : 1];
}

void CountingBackend::rmsnorm_forward(const Exec&, const RmsNormForward& a) {
  touch({a.x, a.delta, a.weight, a.h, a.y, a.rstd});
}

void CountingBackend::rmsnorm_backward_input(const Exec&, const RmsNormBackwardInput& a) {
  touch({a.dy, a.h, a.weight, a.rstd, a.dresidual, a.dh});
}

void CountingBackend::rmsnorm_backward_weight(const Exec&, const RmsNormBackwardWeight& a) {
  touch({a.dy, a.h, a.rstd, a.dweight, a.dweight});
}

void CountingBackend::rope(const Exec&, const Rope& a) { touch({a.x, a.positions, a.out}); }

void CountingBackend::attention_forward(const Exec&, const AttentionForward& a) {
  touch({a.q, a.k, a.v, a.out, a.lse});
  count_.attention_flops += 4 * attention_work(a.q, a.segments);
}

void CountingBackend::attention_backward(const Exec&, const AttentionBackward& a) {
  touch({a.q, a.k, a.v, a.out, a.lse, a.dout, a.dq, a.dk, a.dv});
  count_.attention_flops += 10 * attention_work(a.q, a.segments);
}

void CountingBackend::swiglu_forward(const Exec&, const SwigluForward& a) { touch({a.gate_up, a.y}); }

void CountingBackend::swiglu_backward(const Exec&, const SwigluBackward& a) {
  touch({a.gate_up, a.dy, a.dgate_up});
}

// One table row per token, read and written.
void CountingBackend::embedding_forward(const Exec&, const EmbeddingForward& a) {
  touch({a.tokens, a.out, a.out});
}

void CountingBackend::embedding_backward(const Exec&, const EmbeddingBackward& a) {
  Tensor rows = a.dout;
  rows.dtype = a.dtable.dtype;
  touch({a.tokens, a.dout, rows, rows});
}

void CountingBackend::loss_statistics(const Exec&, const LossStatistics& a) {
  touch({a.logits, a.targets, a.maximum, a.sum, a.target_logit});
}

void CountingBackend::loss_combine(const Exec&, const LossCombine& a) {
  touch({a.maximum, a.sum, a.target_logit, a.targets, a.lse, a.loss, a.loss});
}

void CountingBackend::loss_gradient(const Exec&, const LossGradient& a) {
  touch({a.logits, a.targets, a.lse, a.dlogits});
}

void CountingBackend::adamw(const Exec&, const AdamW& a) {
  touch({a.weight, a.weight, a.moment1, a.moment1, a.moment2, a.moment2, a.gradient, a.working});
}

void CountingBackend::sum_of_squares(const Exec&, const SumOfSquares& a) { touch({a.x, a.out, a.out}); }

void CountingBackend::combine(const Exec&, const Combine& a) {
  touch({a.out});
  for (const Tensor& part : a.parts) count_.bytes_touched += part.bytes();
  for (const Tensor& copy : a.copies) count_.bytes_touched += copy.bytes();
}

}  // namespace drover
