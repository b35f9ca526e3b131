// A backend that passes every verb on to another one and adds up where the time goes.
#pragma once

#include <array>
#include <ctime>
#include <string_view>

#include "core/backend.h"

namespace drover {

// On one thread the processor time of it, which other programs on the machine don't disturb.
struct Stopwatch {
  clockid_t clock = CLOCK_MONOTONIC;
  double seconds() const {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }
};
inline Stopwatch stopwatch_for(int threads) {
  return {threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC};
}

enum class Work : std::uint8_t {
  forward_products,
  input_products,
  weight_products,
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
constexpr int kWorks = 12;
constexpr std::array<std::string_view, kWorks> kWorkNames = {"products y = x W^T",
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

class TimedBackend final : public Backend {
 public:
  TimedBackend(Backend& real, Stopwatch watch) : real_(real), watch_(watch) {}

  double seconds(int work) const { return seconds_[static_cast<std::size_t>(work)]; }
  void reset() { seconds_ = {}; }

  Memory& memory() override { return real_.memory(); }
  std::string describe() const override { return real_.describe(); }
  void synchronize(Stream stream) override { real_.synchronize(stream); }

  void fill(const Exec& e, const Fill& a) override { run(Work::moves, &Backend::fill, e, a); }
  void copy(const Exec& e, const Copy& a) override { run(Work::moves, &Backend::copy, e, a); }
  void scale(const Exec& e, const Scale& a) override { run(Work::moves, &Backend::scale, e, a); }
  void matmul(const Exec& e, const Matmul& a) override {
    run(static_cast<Work>(a.product), &Backend::matmul, e, a);
  }
  void rmsnorm_forward(const Exec& e, const RmsNormForward& a) override {
    run(Work::norms, &Backend::rmsnorm_forward, e, a);
  }
  void rmsnorm_backward_input(const Exec& e, const RmsNormBackwardInput& a) override {
    run(Work::norms, &Backend::rmsnorm_backward_input, e, a);
  }
  void rmsnorm_backward_weight(const Exec& e, const RmsNormBackwardWeight& a) override {
    run(Work::norms, &Backend::rmsnorm_backward_weight, e, a);
  }
  void rope(const Exec& e, const Rope& a) override { run(Work::rope, &Backend::rope, e, a); }
  void attention_forward(const Exec& e, const AttentionForward& a) override {
    run(Work::attention_forward, &Backend::attention_forward, e, a);
  }
  void attention_backward(const Exec& e, const AttentionBackward& a) override {
    run(Work::attention_backward, &Backend::attention_backward, e, a);
  }
  void swiglu_forward(const Exec& e, const SwigluForward& a) override {
    run(Work::swiglu, &Backend::swiglu_forward, e, a);
  }
  void swiglu_backward(const Exec& e, const SwigluBackward& a) override {
    run(Work::swiglu, &Backend::swiglu_backward, e, a);
  }
  void embedding_forward(const Exec& e, const EmbeddingForward& a) override {
    run(Work::embedding, &Backend::embedding_forward, e, a);
  }
  void embedding_backward(const Exec& e, const EmbeddingBackward& a) override {
    run(Work::embedding, &Backend::embedding_backward, e, a);
  }
  void loss_statistics(const Exec& e, const LossStatistics& a) override {
    run(Work::loss, &Backend::loss_statistics, e, a);
  }
  void loss_combine(const Exec& e, const LossCombine& a) override {
    run(Work::loss, &Backend::loss_combine, e, a);
  }
  void loss_gradient(const Exec& e, const LossGradient& a) override {
    run(Work::loss, &Backend::loss_gradient, e, a);
  }
  void adamw(const Exec& e, const AdamW& a) override { run(Work::optimizer, &Backend::adamw, e, a); }
  void sum_of_squares(const Exec& e, const SumOfSquares& a) override {
    run(Work::optimizer, &Backend::sum_of_squares, e, a);
  }
  void combine(const Exec& e, const Combine& a) override { run(Work::moves, &Backend::combine, e, a); }

  std::int64_t scratch_bytes(const RmsNormBackwardWeight& a) const override { return real_.scratch_bytes(a); }
  std::int64_t scratch_bytes(const AttentionForward& a) const override { return real_.scratch_bytes(a); }
  std::int64_t scratch_bytes(const AttentionBackward& a) const override { return real_.scratch_bytes(a); }
  std::int64_t scratch_bytes(const EmbeddingBackward& a) const override { return real_.scratch_bytes(a); }

 private:
  template <class Arguments>
  void run(Work work, void (Backend::*verb)(const Exec&, const Arguments&), const Exec& exec,
           const Arguments& arguments) {
    const double start = watch_.seconds();
    (real_.*verb)(exec, arguments);
    seconds_[static_cast<std::size_t>(work)] += watch_.seconds() - start;
  }

  Backend& real_;
  Stopwatch watch_;
  std::array<double, kWorks> seconds_{};
};

static_assert(static_cast<int>(Work::forward_products) == static_cast<int>(Product::nt) &&
              static_cast<int>(Work::input_products) == static_cast<int>(Product::nn) &&
              static_cast<int>(Work::weight_products) == static_cast<int>(Product::tn));

}  // namespace drover
