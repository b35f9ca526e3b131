// A backend that computes nothing and counts: the real program runs on shape-only tensors under it, which is
// how arenas are sized before a run and how FLOPs are known.
#pragma once

#include <initializer_list>

#include "core/ops/backend.h"

namespace drover {

struct WorkCount {
  std::int64_t matmul_flops = 0;  // 2 M N K per product
  std::int64_t attention_flops =
      0;  // per attended pair and query head: 4 E forward, 10 E backward (scores are computed again)
  std::int64_t bytes_touched = 0;  // operands read and written, each once
  std::int64_t verbs = 0;
};

// Scratch sizes are those of `real`, so that measured arenas fit it, and prepare reaches it. Memory is
// shape-only.
class CountingBackend : public Backend {
 public:
  explicit CountingBackend(Backend& real, DeviceKind device = DeviceKind::cpu)
      : real_(real), memory_(device) {}

  const WorkCount& count() const { return count_; }

  Memory& memory() override { return memory_; }
  std::string describe() const override { return "counting"; }
  void synchronize(Stream) override {}
  void prepare(const Matmul& m) override { real_.prepare(m); }
  void fill(const Exec&, const Fill&) override;
  void copy(const Exec&, const Copy&) override;
  void scale(const Exec&, const Scale&) override;
  void matmul(const Exec&, const Matmul&) override;
  void rmsnorm_forward(const Exec&, const RmsNormForward&) override;
  void rmsnorm_backward_input(const Exec&, const RmsNormBackwardInput&) override;
  void rmsnorm_backward_weight(const Exec&, const RmsNormBackwardWeight&) override;
  void rope(const Exec&, const Rope&) override;
  void attention_forward(const Exec&, const AttentionForward&) override;
  void attention_backward(const Exec&, const AttentionBackward&) override;
  void swiglu_forward(const Exec&, const SwigluForward&) override;
  void swiglu_backward(const Exec&, const SwigluBackward&) override;
  void embedding_forward(const Exec&, const EmbeddingForward&) override;
  void embedding_backward(const Exec&, const EmbeddingBackward&) override;
  void loss_statistics(const Exec&, const LossStatistics&) override;
  void loss_combine(const Exec&, const LossCombine&) override;
  void loss_gradient(const Exec&, const LossGradient&) override;
  void adamw(const Exec&, const AdamW&) override;
  void sum_of_squares(const Exec&, const SumOfSquares&) override;
  void combine(const Exec&, const Combine&) override;
  std::int64_t scratch_bytes(const RmsNormBackwardWeight& a) const override { return real_.scratch_bytes(a); }
  std::int64_t scratch_bytes(const AttentionForward& a) const override { return real_.scratch_bytes(a); }
  std::int64_t scratch_bytes(const AttentionBackward& a) const override { return real_.scratch_bytes(a); }
  std::int64_t scratch_bytes(const EmbeddingBackward& a) const override { return real_.scratch_bytes(a); }

 private:
  void touch(std::initializer_list<Tensor> operands);

  Backend& real_;
  ShapeMemory memory_;
  WorkCount count_;
};

}  // namespace drover
