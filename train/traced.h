// The three places where a rank's time goes, watched from outside: a backend's verbs, what its communicators have in
// flight, and its stages' actions. What is watched computes the same bits.
#pragma once

#include <memory>

#include "core/ops/around_backend.h"
#include "core/watch/trace.h"
#include "parallel/mesh/mesh.h"
#include "parallel/pipeline/pipeline.h"

namespace drover {

class TracedBackend final : public AroundBackend {
 public:
  TracedBackend(Backend& real, Trace& trace) : AroundBackend(real), trace_(trace) {}

 private:
  void around(const VerbCall& call, FunctionRef<void()> verb) override;

  Trace& trace_;
};

// Every operation is in flight from its start until it was waited for; waiting is time of the compute track.
Connections traced(Connections connections, Trace& trace);

class TracedStage final : public Stage {
 public:
  TracedStage(Stage& real, Trace& trace) : real_(real), trace_(trace) {}

  std::int64_t hand_over_tokens(int microbatch) const override { return real_.hand_over_tokens(microbatch); }
  void forward(const Exec& exec, int microbatch, const HandOver& activations,
               StretchPart part_of_stretch) override;
  void backward_input(const Exec& exec, int microbatch, const HandOver& gradients,
                      StretchPart part_of_stretch) override;
  void backward_weight(const Exec& exec, int microbatch, StretchPart part_of_stretch) override;
  void backward(const Exec& exec, int microbatch, const HandOver& gradients,
                StretchPart part_of_stretch) override;

 private:
  Stage& real_;
  Trace& trace_;
};

}  // namespace drover
