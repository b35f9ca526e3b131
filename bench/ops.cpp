// Every verb of core/ops/backend.h on sizes of a small model, in float32 and bfloat16: FLOP/s of products,
// bytes/s of the rest (operands read and written once, as the counting backend counts them). Attention has
// bench/attention.cpp.
//   bench_ops --benchmark_filter='matmul.*bfloat16'
#include <benchmark/benchmark.h>

#include <deque>
#include <functional>
#include <string>

#include "core/cpu/cpu_backend.h"
#include "core/ops/counting_backend.h"
#include "core/ops/ops.h"

namespace drover {
namespace {

constexpr std::int64_t kTokens = 4096, kDim = 512, kFfn = 2048, kHeads = 8, kVocabulary = 8192,
                       kLossRows = 512, kParameters = 4 << 20;

// Operands by shape, filled with small numbers (integers with 1), alive as long as this.
class Operands {
 public:
  Operands(Backend& backend, DType compute) : backend_(backend), compute_(compute) {}

  Tensor compute(std::initializer_list<std::int64_t> dims) { return make(compute_, dims, 0.01); }
  Tensor master(std::initializer_list<std::int64_t> dims) { return make(master_dtype(compute_), dims, 0.01); }
  Tensor scalar() { return make(DType::float64, {1}, 0); }
  Tensor ids(std::int64_t count) { return make(DType::int32, {count}, 1); }

 private:
  Tensor make(DType dtype, std::initializer_list<std::int64_t> dims, double value) {
    const std::int64_t bytes = Tensor::of(nullptr, dtype, dims).bytes();
    buffers_.emplace_back(backend_.memory(), bytes, MemoryCategory::scratch);
    const Tensor tensor = buffers_.back().tensor(dtype, dims);
    Arena none;
    ops::fill({.backend = backend_, .scratch = none}, {.out = tensor, .value = value});
    return tensor;
  }

  Backend& backend_;
  DType compute_;
  std::deque<Buffer> buffers_;
};

using Call = std::function<void(const Exec&)>;
using MakeCall = std::function<Call(Operands&)>;

void measure(benchmark::State& state, const MakeCall& make, DType compute, int threads) {
  HostMemory memory;
  const auto backend = make_cpu_backend(memory, {.threads = threads});
  Operands operands(*backend, compute);
  const Call call = make(operands);
  Buffer scratch_bytes(memory, 64 << 20, MemoryCategory::scratch);
  Arena scratch(scratch_bytes);
  CountingBackend counting(*backend);
  call({.backend = counting, .scratch = scratch});
  const Exec exec{.backend = *backend, .scratch = scratch};
  call(exec);
  for ([[maybe_unused]] auto _ : state) call(exec);
  const auto rate = [&](std::int64_t count) {
    return benchmark::Counter(1e-9 * static_cast<double>(count),
                              benchmark::Counter::kIsIterationInvariantRate);
  };
  if (const std::int64_t flops = counting.count().matmul_flops; flops > 0)
    state.counters["GFLOP/s"] = rate(flops);
  else
    state.counters["GB/s"] = rate(counting.count().bytes_touched);
}

void add(const std::string& name, const MakeCall& make) {
  for (const DType compute : {DType::float32, DType::bfloat16})
    for (const int threads : {1, 2}) {
      const std::string full =
          name + "/" + std::string(name_of(compute)) + "/threads" + std::to_string(threads);
      benchmark::RegisterBenchmark(full.c_str(), measure, make, compute, threads)
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
}

void add_products() {
  struct Size {
    const char* name;
    std::int64_t tokens, in, out;
  };
  for (const Size& s : {Size{"gate_up", kTokens, kDim, 2 * kFfn},
                        {"square", kTokens, kDim, kDim},
                        {"head", kLossRows, kDim, kVocabulary}}) {
    add(std::string("matmul_forward_") + s.name, [s](Operands& o) -> Call {
      const Matmul m{.a = o.compute({s.tokens, s.in}),
                     .b = o.compute({s.out, s.in}),
                     .out = o.compute({s.tokens, s.out})};
      return [m](const Exec& e) { ops::matmul(e, m); };
    });
    add(std::string("matmul_input_") + s.name, [s](Operands& o) -> Call {
      const Matmul m{.product = Product::nn,
                     .a = o.compute({s.tokens, s.out}),
                     .b = o.compute({s.out, s.in}),
                     .out = o.compute({s.tokens, s.in})};
      return [m](const Exec& e) { ops::matmul(e, m); };
    });
    add(std::string("matmul_weight_") + s.name, [s](Operands& o) -> Call {
      const Matmul m{.product = Product::tn,
                     .a = o.compute({s.tokens, s.out}),
                     .b = o.compute({s.tokens, s.in}),
                     .out = o.master({s.out, s.in}),
                     .write = Write::add};
      return [m](const Exec& e) { ops::matmul(e, m); };
    });
  }
}

void add_rows() {
  add("rmsnorm_forward", [](Operands& o) -> Call {
    const RmsNormForward a{.x = o.compute({kTokens, kDim}),
                           .delta = o.compute({kTokens, kDim}),
                           .weight = o.compute({kDim}),
                           .h = o.compute({kTokens, kDim}),
                           .y = o.compute({kTokens, kDim}),
                           .rstd = o.master({kTokens})};
    return [a](const Exec& e) { ops::rmsnorm_forward(e, a); };
  });
  add("rmsnorm_backward_input", [](Operands& o) -> Call {
    const RmsNormBackwardInput a{.dy = o.compute({kTokens, kDim}),
                                 .h = o.compute({kTokens, kDim}),
                                 .weight = o.compute({kDim}),
                                 .rstd = o.master({kTokens}),
                                 .dresidual = o.compute({kTokens, kDim}),
                                 .dh = o.compute({kTokens, kDim})};
    return [a](const Exec& e) { ops::rmsnorm_backward_input(e, a); };
  });
  add("rmsnorm_backward_weight", [](Operands& o) -> Call {
    const RmsNormBackwardWeight a{.dy = o.compute({kTokens, kDim}),
                                  .h = o.compute({kTokens, kDim}),
                                  .rstd = o.master({kTokens}),
                                  .dweight = o.master({kDim})};
    return [a](const Exec& e) { ops::rmsnorm_backward_weight(e, a); };
  });
  add("rope", [](Operands& o) -> Call {
    const Tensor x = o.compute({kTokens, kHeads, kDim / kHeads});
    const Rope a{.x = x,
                 .cosine = o.master({64, kDim / kHeads / 2}),
                 .sine = o.master({64, kDim / kHeads / 2}),
                 .positions = o.ids(kTokens),
                 .out = x};
    return [a](const Exec& e) { ops::rope(e, a); };
  });
  add("swiglu_forward", [](Operands& o) -> Call {
    const SwigluForward a{.gate_up = o.compute({kTokens, 2 * kFfn}), .y = o.compute({kTokens, kFfn})};
    return [a](const Exec& e) { ops::swiglu_forward(e, a); };
  });
  add("swiglu_backward", [](Operands& o) -> Call {
    const SwigluBackward a{.gate_up = o.compute({kTokens, 2 * kFfn}),
                           .dy = o.compute({kTokens, kFfn}),
                           .dgate_up = o.compute({kTokens, 2 * kFfn})};
    return [a](const Exec& e) { ops::swiglu_backward(e, a); };
  });
}

void add_vocabulary() {
  add("embedding_forward", [](Operands& o) -> Call {
    const EmbeddingForward a{
        .tokens = o.ids(kTokens), .table = o.compute({kVocabulary, kDim}), .out = o.compute({kTokens, kDim})};
    return [a](const Exec& e) { ops::embedding_forward(e, a); };
  });
  add("embedding_backward", [](Operands& o) -> Call {
    const EmbeddingBackward a{.tokens = o.ids(kTokens),
                              .dout = o.compute({kTokens, kDim}),
                              .dtable = o.master({kVocabulary, kDim})};
    return [a](const Exec& e) { ops::embedding_backward(e, a); };
  });
  add("loss_statistics", [](Operands& o) -> Call {
    const LossStatistics a{.logits = o.master({kLossRows, kVocabulary}),
                           .targets = o.ids(kLossRows),
                           .maximum = o.master({kLossRows}),
                           .sum = o.master({kLossRows}),
                           .target_logit = o.master({kLossRows})};
    return [a](const Exec& e) { ops::loss_statistics(e, a); };
  });
  add("loss_combine", [](Operands& o) -> Call {
    const LossCombine a{.maximum = o.master({8, kTokens}),
                        .sum = o.master({8, kTokens}),
                        .target_logit = o.master({8, kTokens}),
                        .targets = o.ids(kTokens),
                        .lse = o.master({kTokens}),
                        .loss = o.scalar()};
    return [a](const Exec& e) { ops::loss_combine(e, a); };
  });
  add("loss_gradient", [](Operands& o) -> Call {
    const LossGradient a{.logits = o.master({kLossRows, kVocabulary}),
                         .targets = o.ids(kLossRows),
                         .lse = o.master({kLossRows}),
                         .dlogits = o.compute({kLossRows, kVocabulary})};
    return [a](const Exec& e) { ops::loss_gradient(e, a); };
  });
}

void add_elements() {
  add("adamw", [](Operands& o) -> Call {
    const AdamW a{.weight = o.master({kParameters}),
                  .moment1 = o.master({kParameters}),
                  .moment2 = o.master({kParameters}),
                  .gradient = o.master({kParameters}),
                  .working = o.compute({kParameters}),
                  .lr = 1e-3,
                  .weight_decay = 0.1};
    return [a](const Exec& e) { ops::adamw(e, a); };
  });
  add("sum_of_squares", [](Operands& o) -> Call {
    const SumOfSquares a{.x = o.master({kParameters}), .out = o.scalar()};
    return [a](const Exec& e) { ops::sum_of_squares(e, a); };
  });
  add("combine", [](Operands& o) -> Call {
    const std::vector<Tensor> parts = {o.master({kParameters}), o.master({kParameters})};
    return [parts, out = o.master({kParameters})](const Exec& e) {
      ops::combine(e, {.parts = parts, .out = out});
    };
  });
  add("scale", [](Operands& o) -> Call {
    const Scale a{.x = o.master({kParameters}), .factor = 1.0};
    return [a](const Exec& e) { ops::scale(e, a); };
  });
  add("fill", [](Operands& o) -> Call {
    const Fill a{.out = o.master({kParameters})};
    return [a](const Exec& e) { ops::fill(e, a); };
  });
  add("copy", [](Operands& o) -> Call {
    const Copy a{.in = o.compute({kParameters}), .out = o.master({kParameters}), .write = Write::add};
    return [a](const Exec& e) { ops::copy(e, a); };
  });
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  drover::add_products();
  drover::add_rows();
  drover::add_vocabulary();
  drover::add_elements();
  benchmark::RunSpecifiedBenchmarks();
}
