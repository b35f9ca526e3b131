// A backend that computes nothing and counts: the real program runs on shape-only tensors under it, which is
// how arenas are sized before a run and how FLOPs are known.
#pragma once

#include "core/ops/around_backend.h"

namespace drover {

struct WorkCount {
  std::int64_t matmul_flops = 0;  // 2 M N K per product
  std::int64_t attention_flops =
      0;  // per attended pair and query head: 4 E forward, 10 E backward (scores are computed again)
  // Operands by their access, each once for reading and once for writing, without scratch. Of tables the rows that an
  // embedding's tokens name; nothing of the rotary ones, which stay in caches.
  std::int64_t bytes_touched = 0;
  std::int64_t verbs = 0;
};

// Scratch sizes are those of `real`, so that measured arenas fit it, and prepare reaches it. Memory is
// shape-only.
class CountingBackend : public AroundBackend {
 public:
  explicit CountingBackend(Backend& real, DeviceKind device = DeviceKind::cpu)
      : AroundBackend(real), memory_(device) {}

  const WorkCount& count() const { return count_; }

  Memory& memory() override { return memory_; }
  std::string describe() const override { return "counting"; }
  void synchronize(Stream) override {}
  void matmul(const Exec&, const Matmul&) override;
  void attention_forward(const Exec&, const AttentionForward&) override;
  void attention_backward(const Exec&, const AttentionBackward&) override;
  void embedding_forward(const Exec&, const EmbeddingForward&) override;
  void embedding_backward(const Exec&, const EmbeddingBackward&) override;

 private:
  void around(const VerbCall& call, FunctionRef<void()> verb) override;

  ShapeMemory memory_;
  WorkCount count_;
};

}  // namespace drover
