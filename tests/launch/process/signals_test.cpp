// Signals that ask a run to stop, while it computes.
#include "launch/process/signals.h"

#include <pthread.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "core/cpu/cpu_backend.h"
#include "core/ops/ops.h"
#include "tests/support/test_support.h"

using namespace drover;

namespace {

// y = x W^T, dx = y W or dW = y^T x of N tokens and W [F, D].
class SmallProduct {
 public:
  static constexpr std::int64_t kTokens = 512, kOut = 192, kHidden = 64;
  SmallProduct(Product product, std::mt19937& random)
      : x_(kTokens * kHidden), y_(kTokens * kOut), weight_(kOut * kHidden) {
    std::normal_distribution<float> normal;
    for (std::vector<float>* values : {&x_, &y_, &weight_})
      for (float& value : *values) value = normal(random);
    const Tensor x = Tensor::of(x_.data(), {kTokens, kHidden}), y = Tensor::of(y_.data(), {kTokens, kOut}),
                 weight = Tensor::of(weight_.data(), {kOut, kHidden});
    matmul_ = {.product = product, .a = x, .b = weight, .out = y};
    if (product == Product::nn) matmul_ = {.product = product, .a = y, .b = weight, .out = x};
    if (product == Product::tn) matmul_ = {.product = product, .a = y, .b = x, .out = weight};
  }
  std::vector<float> compute(const Exec& exec) {
    ops::matmul(exec, matmul_);
    const auto* out = matmul_.out.as<float>();
    return {out, out + matmul_.out.numel()};
  }

 private:
  std::vector<float> x_, y_, weight_;
  Matmul matmul_;
};

}  // namespace

TEST_CASE("signals by the thousand change no bit of what the thread computes that they interrupt") {
  HostMemory memory;
  const auto backend = make_cpu_backend(memory, {.threads = 1});
  Arena scratch;
  const Exec exec{.backend = *backend, .scratch = scratch};
  std::mt19937 random(4);
  std::array products{SmallProduct(Product::nt, random), SmallProduct(Product::nn, random),
                      SmallProduct(Product::tn, random)};
  std::array<std::vector<float>, 3> undisturbed;
  for (std::size_t i = 0; i < products.size(); ++i) undisturbed[i] = products[i].compute(exec);

  const StopSignals signals;
  std::atomic<bool> done{false};
  std::thread sender([&done, computing = pthread_self()] {
    while (!done) {
      pthread_kill(computing, SIGUSR1);
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  });
  // Shorter than the time after which a second signal ends the process.
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1000);
  bool same = true;
  while (std::chrono::steady_clock::now() < end)
    for (std::size_t i = 0; i < products.size(); ++i) same &= products[i].compute(exec) == undisturbed[i];
  done = true;
  sender.join();
  CHECK(same);
  CHECK(signals.requested());
}
