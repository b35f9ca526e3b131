// Operands that don't fit are refused before anything is computed, with the verb's and the operand's name.
#include "tests/core/ops/op_fixture.h"

using namespace drover;
using namespace drover::test;

namespace {

// Shapes are all that is checked.
Tensor f32(std::initializer_list<std::int64_t> dims) { return Tensor::of(nullptr, DType::float32, dims); }
Tensor f64(std::initializer_list<std::int64_t> dims) { return Tensor::of(nullptr, DType::float64, dims); }
Tensor bf16(std::initializer_list<std::int64_t> dims) { return Tensor::of(nullptr, DType::bfloat16, dims); }
Tensor i32(std::initializer_list<std::int64_t> dims) { return Tensor::of(nullptr, DType::int32, dims); }

template <class Arguments>
void refuses(void (*verb)(const Exec&, Arguments), const std::remove_cvref_t<Arguments>& arguments,
             const char* name, const char* operand) {
  Machine machine;
  CHECK_THROWS_WITH(verb(machine.exec, arguments), Catch::Contains(std::string(name) + ":") &&
                                                       Catch::Contains(std::string(operand) + " is "));
}

}  // namespace

TEST_CASE("data movement refuses what it can't convert or find") {
  refuses(ops::fill, {.out = Tensor{}}, "fill", "out");
  refuses(ops::copy, {.in = f32({2, 3}), .out = f32({3, 2})}, "copy", "in");
  refuses(ops::copy, {.in = i32({2}), .out = f32({2})}, "copy", "out");
  refuses(ops::copy, {.in = i32({2}), .out = i32({2}), .write = Write::add}, "copy", "in");
  refuses(ops::scale, {.x = bf16({4})}, "scale", "x");
  refuses(ops::scale, {.x = f32({4, 4}).slice(1, 0, 2)}, "scale", "x");
}

TEST_CASE("norms refuse a weight, a statistic or a residual of another shape") {
  refuses(ops::rmsnorm_forward, {.x = f32({2, 8}), .weight = f32({7}), .y = f32({2, 8}), .rstd = f32({2})},
          "rmsnorm_forward", "weight");
  refuses(ops::rmsnorm_forward,
          {.x = f32({2, 8}), .delta = f32({2, 8}), .weight = f32({8}), .y = f32({2, 8}), .rstd = f32({2})},
          "rmsnorm_forward", "h");
  refuses(ops::rmsnorm_forward,
          {.x = bf16({2, 8}), .weight = bf16({8}), .y = bf16({2, 8}), .rstd = bf16({2})}, "rmsnorm_forward",
          "rstd");
  refuses(ops::rmsnorm_backward_input,
          {.dy = f32({2, 8}), .h = f32({2, 8}), .weight = f32({8}), .rstd = f32({3}), .dh = f32({2, 8})},
          "rmsnorm_backward_input", "rstd");
  refuses(ops::rmsnorm_backward_weight,
          {.dy = bf16({2, 8}), .h = bf16({2, 8}), .rstd = f32({2}), .dweight = bf16({8})},
          "rmsnorm_backward_weight", "dweight");
}

TEST_CASE("rope refuses tables that are not half a head wide") {
  refuses(ops::rope,
          {.x = f32({3, 2, 8}),
           .cosine = f32({9, 8}),
           .sine = f32({9, 8}),
           .positions = i32({3}),
           .out = f32({3, 2, 8})},
          "rope", "cosine");
  refuses(ops::rope,
          {.x = f32({3, 2, 8}),
           .cosine = f32({9, 4}),
           .sine = f32({9, 4}),
           .positions = i32({2}),
           .out = f32({3, 2, 8})},
          "rope", "positions");
}

TEST_CASE("attention refuses heads that don't divide, other head sizes and gradients that are not master") {
  const Segment whole{.q_begin = 0, .q_end = 3, .kv_begin = 0, .kv_end = 3};
  AttentionForward forward{.q = bf16({3, 4, 8}),
                           .k = bf16({3, 3, 8}),
                           .v = bf16({3, 3, 8}),
                           .segments = {&whole, 1},
                           .out = bf16({3, 4, 8}),
                           .lse = f32({4, 3})};
  refuses(ops::attention_forward, forward, "attention_forward", "k");
  forward.k = bf16({3, 2, 16});
  refuses(ops::attention_forward, forward, "attention_forward", "k");
  forward.k = forward.v = bf16({3, 2, 8});
  forward.lse = f32({3, 4});
  refuses(ops::attention_forward, forward, "attention_forward", "lse");
  refuses(ops::attention_backward,
          {.q = forward.q,
           .k = forward.k,
           .v = forward.v,
           .out = forward.out,
           .lse = f32({4, 3}),
           .dout = bf16({3, 4, 8}),
           .segments = {&whole, 1},
           .dq = bf16({3, 4, 8}),
           .dk = bf16({3, 2, 8}),
           .dv = f32({3, 2, 8})},
          "attention_backward", "dk");
}

TEST_CASE("swiglu refuses a gate and up that are not twice as wide") {
  refuses(ops::swiglu_forward, {.gate_up = f32({2, 9}), .y = f32({2, 4})}, "swiglu_forward", "gate_up");
  refuses(ops::swiglu_backward, {.gate_up = f32({2, 8}), .dy = f32({2, 4}), .dgate_up = f32({2, 4})},
          "swiglu_backward", "dgate_up");
}

TEST_CASE("embedding refuses tokens of another type and tables of another width") {
  refuses(ops::embedding_forward, {.tokens = f32({2}), .table = f32({5, 4}), .out = f32({2, 4})},
          "embedding_forward", "tokens");
  refuses(ops::embedding_backward, {.tokens = i32({2}), .dout = f32({2, 3}), .dtable = f32({5, 4})},
          "embedding_backward", "dout");
}

TEST_CASE("the loss refuses logits below master and rows that don't match") {
  refuses(ops::loss_statistics,
          {.logits = bf16({2, 9}),
           .targets = i32({2}),
           .maximum = f32({2}),
           .sum = f32({2}),
           .target_logit = f32({2})},
          "loss_statistics", "logits");
  refuses(ops::loss_combine,
          {.maximum = f32({2, 3}),
           .sum = f32({2, 3}),
           .target_logit = f32({2, 3}),
           .targets = i32({3}),
           .lse = f32({3}),
           .loss = f32({1})},
          "loss_combine", "loss");
  refuses(ops::loss_gradient,
          {.logits = f64({2, 9}), .targets = i32({2}), .lse = f64({2}), .dlogits = bf16({2, 9})},
          "loss_gradient", "dlogits");
}

TEST_CASE("the optimizer and reductions refuse moments, sums and parts of another dtype or shape") {
  refuses(ops::adamw,
          {.weight = f32({4}),
           .moment1 = f32({4}),
           .moment2 = f32({3}),
           .gradient = f32({4}),
           .working = bf16({4})},
          "adamw", "moment2");
  refuses(ops::adamw,
          {.weight = f64({4}),
           .moment1 = f64({4}),
           .moment2 = f64({4}),
           .gradient = f64({4}),
           .working = bf16({4})},
          "adamw", "working");
  refuses(ops::sum_of_squares, {.x = f32({4}), .out = f32({1})}, "sum_of_squares", "out");
  const Tensor parts[] = {f32({4}), f32({5})};
  refuses(ops::combine, {.parts = parts, .out = f32({4})}, "combine", "parts");
  refuses(ops::combine, {.parts = {parts, 1}, .out = f32({4}), .copies = parts}, "combine", "copies");
}

TEST_CASE("what a verb writes may not overlap another operand") {
  std::array<float, 64> memory{};
  const auto at = [&](std::size_t element, std::initializer_list<std::int64_t> dims) {
    return Tensor::of(memory.data() + element, dims);
  };
  refuses(ops::copy, {.in = at(0, {8}), .out = at(4, {8})}, "copy", "out");
  refuses(ops::copy, {.in = at(0, {8}), .out = at(0, {8})}, "copy", "in");
  refuses(ops::matmul, {.a = at(0, {2, 4}), .b = at(8, {2, 4}), .out = at(12, {2, 2})}, "matmul", "b");
  refuses(ops::sum_of_squares, {.x = at(0, {8}), .out = Tensor::of(memory.data() + 2, DType::float64, {1})},
          "sum_of_squares", "out");
  const Tensor parts[] = {at(0, {8}), at(8, {8})};
  refuses(ops::combine, {.parts = parts, .out = at(4, {8})}, "combine", "parts");
}

TEST_CASE("a verb that works in place takes exactly its operand, not a shifted one") {
  std::array<float, 64> memory{};
  const auto at = [&](std::size_t element, std::initializer_list<std::int64_t> dims) {
    return Tensor::of(memory.data() + element, dims);
  };
  Machine machine;
  CHECK_NOTHROW(ops::swiglu_backward(
      machine.exec, {.gate_up = at(0, {2, 8}), .dy = at(32, {2, 4}), .dgate_up = at(0, {2, 8})}));
  refuses(ops::swiglu_backward, {.gate_up = at(0, {2, 8}), .dy = at(32, {2, 4}), .dgate_up = at(4, {2, 8})},
          "swiglu_backward", "dgate_up");
}

TEST_CASE("operands that are missing are named, those of a list, too") {
  refuses(ops::adamw, {.weight = f32({4}), .moment1 = f32({4}), .gradient = f32({4}), .working = bf16({4})},
          "adamw", "moment2");
  refuses(ops::combine, {.parts = {}, .out = f32({4})}, "combine", "parts");
  const Tensor parts[] = {f32({4}), Tensor{}};
  refuses(ops::combine, {.parts = parts, .out = f32({4})}, "combine", "parts");
}

TEST_CASE("an operand of another device is named") {
  std::array<float, 8> memory{};
  const Tensor here = Tensor::of(memory.data(), {4});
  const Tensor there = Tensor::of(memory.data() + 4, DType::float32, {4}, DeviceKind::cuda);
  refuses(ops::copy, {.in = there, .out = here}, "copy", "in");
}
