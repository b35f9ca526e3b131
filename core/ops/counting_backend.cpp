#include "core/ops/counting_backend.h"

namespace drover {

namespace {

std::int64_t attention_work(const Tensor& q, std::span<const Segment> segments) {
  return attended_pairs(segments) * q.dims[1] * q.dims[2];
}

// How often each byte moves.
int times_moved(Access access) {
  switch (access) {
    case Access::read:
    case Access::assign:
      return 1;
    case Access::update:
      return 2;
    case Access::scratch:
      return 0;
  }
  return 0;
}

}  // namespace

void CountingBackend::around(const VerbCall& call, FunctionRef<void()>) {
  ++count_.verbs;
  for (const Operand& operand : call.operands) {
    if (operand.looked_up) continue;
    for (const Tensor& x : operand.tensors) count_.bytes_touched += times_moved(operand.access) * x.bytes();
  }
}

void CountingBackend::matmul(const Exec& exec, const Matmul& m) {
  AroundBackend::matmul(exec, m);
  count_.matmul_flops += 2 * m.out.numel() * m.a.dims[m.product == Product::tn ? 0 : 1];
}

void CountingBackend::attention_forward(const Exec& exec, const AttentionForward& a) {
  AroundBackend::attention_forward(exec, a);
  count_.attention_flops += 4 * attention_work(a.q, a.segments);
}

void CountingBackend::attention_backward(const Exec& exec, const AttentionBackward& a) {
  AroundBackend::attention_backward(exec, a);
  count_.attention_flops += 10 * attention_work(a.q, a.segments);
}

// A row of the table per token.
void CountingBackend::embedding_forward(const Exec& exec, const EmbeddingForward& a) {
  AroundBackend::embedding_forward(exec, a);
  count_.bytes_touched += times_moved(Access::read) * a.out.bytes();
}

void CountingBackend::embedding_backward(const Exec& exec, const EmbeddingBackward& a) {
  AroundBackend::embedding_backward(exec, a);
  count_.bytes_touched += times_moved(Access::update) * a.dout.numel() * size_of(a.dtable.dtype);
}

}  // namespace drover
