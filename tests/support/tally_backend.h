// Computes with one backend and counts FLOPs with the counting backend: what a real run did, in the units of a dry one.
#pragma once

#include "core/ops/around_backend.h"
#include "core/ops/counting_backend.h"

namespace drover::testing {

class TallyBackend final : public AroundBackend {
 public:
  explicit TallyBackend(Backend& real) : AroundBackend(real), counter_(real) {}

  const WorkCount& count() const { return counter_.count(); }

  void matmul(const Exec& exec, const Matmul& a) override {
    counter_.matmul(exec, a);
    AroundBackend::matmul(exec, a);
  }
  void attention_forward(const Exec& exec, const AttentionForward& a) override {
    counter_.attention_forward(exec, a);
    AroundBackend::attention_forward(exec, a);
  }
  void attention_backward(const Exec& exec, const AttentionBackward& a) override {
    counter_.attention_backward(exec, a);
    AroundBackend::attention_backward(exec, a);
  }

 private:
  void around(const VerbCall&, FunctionRef<void()> verb) override { verb(); }

  CountingBackend counter_;
};

}  // namespace drover::testing
