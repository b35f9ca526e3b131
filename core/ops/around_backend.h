// A backend that passes every verb on to another one, through one function that a subclass writes: for measuring and
// counting.
#pragma once

#include <array>
#include <string_view>

#include "core/base/function_ref.h"
#include "core/ops/backend.h"

namespace drover {

// Kinds of verbs, products apart by what they are for.
enum class Work : std::uint8_t {
  forward_products,  // y = x W^T
  input_products,    // dx = dy W
  weight_products,   // dW += dy^T x
  attention_forward,
  attention_backward,
  loss,
  norms,
  swiglu,
  rope,
  embedding,
  optimizer,
  moves
};
constexpr std::array<std::string_view, 12> kWorkNames = {"products y = x W^T",
                                                         "products dx = dy W",
                                                         "products dW += dy^T x",
                                                         "attention forward",
                                                         "attention backward",
                                                         "loss",
                                                         "norms",
                                                         "swiglu",
                                                         "rope",
                                                         "embedding",
                                                         "AdamW, norm",
                                                         "fill, copy, scale"};
constexpr std::string_view name_of(Work work) { return kWorkNames[static_cast<std::size_t>(work)]; }
static_assert(static_cast<int>(Work::forward_products) == static_cast<int>(Product::nt) &&
              static_cast<int>(Work::input_products) == static_cast<int>(Product::nn) &&
              static_cast<int>(Work::weight_products) == static_cast<int>(Product::tn));

// A verb as it was called. Lives during the call.
struct VerbCall {
  const Exec& exec;
  Work work;
  std::string_view verb;
  std::span<const Operand> operands;
};

class AroundBackend : public Backend {
 public:
  explicit AroundBackend(Backend& real) : real_(real) {}

  Memory& memory() override { return real_.memory(); }
  std::string describe() const override { return real_.describe(); }
  void synchronize(Stream stream) override { real_.synchronize(stream); }
  void prepare(const Matmul& m) override { real_.prepare(m); }

  void fill(const Exec& e, const Fill& a) override { pass(Work::moves, &Backend::fill, e, a); }
  void copy(const Exec& e, const Copy& a) override { pass(Work::moves, &Backend::copy, e, a); }
  void scale(const Exec& e, const Scale& a) override { pass(Work::moves, &Backend::scale, e, a); }
  void matmul(const Exec& e, const Matmul& a) override {
    pass(static_cast<Work>(a.product), &Backend::matmul, e, a);
  }
  void rmsnorm_forward(const Exec& e, const RmsNormForward& a) override {
    pass(Work::norms, &Backend::rmsnorm_forward, e, a);
  }
  void rmsnorm_backward_input(const Exec& e, const RmsNormBackwardInput& a) override {
    pass(Work::norms, &Backend::rmsnorm_backward_input, e, a);
  }
  void rmsnorm_backward_weight(const Exec& e, const RmsNormBackwardWeight& a) override {
    pass(Work::norms, &Backend::rmsnorm_backward_weight, e, a);
  }
  void rope(const Exec& e, const Rope& a) override { pass(Work::rope, &Backend::rope, e, a); }
  void attention_forward(const Exec& e, const AttentionForward& a) override {
    pass(Work::attention_forward, &Backend::attention_forward, e, a);
  }
  void attention_backward(const Exec& e, const AttentionBackward& a) override {
    pass(Work::attention_backward, &Backend::attention_backward, e, a);
  }
  void swiglu_forward(const Exec& e, const SwigluForward& a) override {
    pass(Work::swiglu, &Backend::swiglu_forward, e, a);
  }
  void swiglu_backward(const Exec& e, const SwigluBackward& a) override {
    pass(Work::swiglu, &Backend::swiglu_backward, e, a);
  }
  void embedding_forward(const Exec& e, const EmbeddingForward& a) override {
    pass(Work::embedding, &Backend::embedding_forward, e, a);
  }
  void embedding_backward(const Exec& e, const EmbeddingBackward& a) override {
    pass(Work::embedding, &Backend::embedding_backward, e, a);
  }
  void loss_statistics(const Exec& e, const LossStatistics& a) override {
    pass(Work::loss, &Backend::loss_statistics, e, a);
  }
  void loss_combine(const Exec& e, const LossCombine& a) override {
    pass(Work::loss, &Backend::loss_combine, e, a);
  }
  void loss_gradient(const Exec& e, const LossGradient& a) override {
    pass(Work::loss, &Backend::loss_gradient, e, a);
  }
  void adamw(const Exec& e, const AdamW& a) override { pass(Work::optimizer, &Backend::adamw, e, a); }
  void sum_of_squares(const Exec& e, const SumOfSquares& a) override {
    pass(Work::optimizer, &Backend::sum_of_squares, e, a);
  }
  void combine(const Exec& e, const Combine& a) override { pass(Work::moves, &Backend::combine, e, a); }

  std::int64_t scratch_bytes(const RmsNormBackwardWeight& a) const override { return real_.scratch_bytes(a); }
  std::int64_t scratch_bytes(const AttentionForward& a) const override { return real_.scratch_bytes(a); }
  std::int64_t scratch_bytes(const AttentionBackward& a) const override { return real_.scratch_bytes(a); }
  std::int64_t scratch_bytes(const EmbeddingBackward& a) const override { return real_.scratch_bytes(a); }

 protected:
  // Calls `verb` once; not at all where nothing is to be computed.
  virtual void around(const VerbCall& call, FunctionRef<void()> verb) = 0;

 private:
  template <class Arguments>
  void pass(Work work, void (Backend::*verb)(const Exec&, const Arguments&), const Exec& exec,
            const Arguments& arguments) {
    const auto operands = arguments.operands();
    around({.exec = exec, .work = work, .verb = Arguments::kVerb, .operands = operands},
           [&] { (real_.*verb)(exec, arguments); });
  }

  Backend& real_;
};

}  // namespace drover
