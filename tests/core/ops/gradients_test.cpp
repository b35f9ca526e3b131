// Backward verbs against finite differences of forward verbs in float64. Attention's are in
// attention_test.cpp.
#include "tests/core/ops/op_fixture.h"

using namespace drover;
using namespace drover::test;

namespace {

constexpr DType kDouble = DType::float64;

// sum_i out[i] * weight[i]: a loss whose gradient with respect to `out` is `weight`.
double weighted(const Array& out, const Array& weight) {
  double sum = 0;
  for (std::int64_t i = 0; i < out.size(); ++i) sum += out.get(i) * weight.get(i);
  return sum;
}

// Central differences of loss() in every element of `operand`, beside `gradient`.
void check_gradient(const char* name, Array& operand, const Array& gradient,
                    const std::function<double()>& loss) {
  std::vector<double> differences;
  for (std::int64_t i = 0; i < operand.size(); ++i) {
    const double before = operand.get(i), step = 1e-5;
    operand.set(i, before + step);
    const double above = loss();
    operand.set(i, before - step);
    differences.push_back((above - loss()) / (2 * step));
    operand.set(i, before);
  }
  INFO(name);
  CHECK(largest_difference(differences, std::vector<double>(differences.size())) > 0.01);
  CHECK(relative_error(gradient, differences) <= 1e-8);
}

}  // namespace

TEST_CASE("the gradients of a linear's product are its other two products") {
  Machine m;
  Array x = Array::random(kDouble, {5, 7}, 1), weight = Array::random(kDouble, {6, 7}, 2), y(kDouble, {5, 6});
  const Array dy = Array::random(kDouble, {5, 6}, 3);
  Array dx(kDouble, {5, 7}), dweight(kDouble, {6, 7});
  ops::matmul(m.exec, {.product = Product::nn, .a = dy, .b = weight, .out = dx});
  ops::matmul(m.exec, {.product = Product::tn, .a = dy, .b = x, .out = dweight, .write = Write::add});
  const auto loss = [&] {
    ops::matmul(m.exec, {.product = Product::nt, .a = x, .b = weight, .out = y});
    return weighted(y, dy);
  };
  check_gradient("x", x, dx, loss);
  check_gradient("weight", weight, dweight, loss);
}

TEST_CASE("rmsnorm's gradients reach x, delta and weight, and the residual stream's adds up") {
  Machine m;
  Array x = Array::random(kDouble, {4, 9}, 1), delta = Array::random(kDouble, {4, 9}, 2),
        weight = Array::random(kDouble, {9}, 3);
  const Array dy = Array::random(kDouble, {4, 9}, 4), dresidual = Array::random(kDouble, {4, 9}, 5);
  Array h(kDouble, {4, 9}), y(kDouble, {4, 9}), rstd(kDouble, {4});
  const auto loss = [&] {
    ops::rmsnorm_forward(
        m.exec, {.x = x, .delta = delta, .weight = weight, .epsilon = 0.1, .h = h, .y = y, .rstd = rstd});
    return weighted(y, dy) + weighted(h, dresidual);
  };
  loss();
  Array dh(kDouble, {4, 9}), dweight(kDouble, {9});
  ops::rmsnorm_backward_input(
      m.exec, {.dy = dy, .h = h, .weight = weight, .rstd = rstd, .dresidual = dresidual, .dh = dh});
  ops::rmsnorm_backward_weight(m.exec, {.dy = dy, .h = h, .rstd = rstd, .dweight = dweight});
  check_gradient("x", x, dh, loss);
  check_gradient("delta", delta, dh, loss);
  check_gradient("weight", weight, dweight, loss);
}

TEST_CASE("rope's gradient is its inverse rotation") {
  Machine m;
  Array x = Array::random(kDouble, {3, 2, 6}, 1), out(kDouble, {3, 2, 6}), dx(kDouble, {3, 2, 6});
  const Array dout = Array::random(kDouble, {3, 2, 6}, 2),
              positions = Array::of(DType::int32, {3}, {2, 0, 1});
  Array cosine(kDouble, {3, 3}), sine(kDouble, {3, 3});
  for (std::int64_t i = 0; i < 9; ++i) {
    cosine.set(i, std::cos(0.7 * static_cast<double>(i)));
    sine.set(i, std::sin(0.7 * static_cast<double>(i)));
  }
  const auto rotate = [&](const Array& in, Rotation rotation, const Array& to) {
    ops::rope(
        m.exec,
        {.x = in, .cosine = cosine, .sine = sine, .positions = positions, .rotation = rotation, .out = to});
  };
  rotate(dout, Rotation::inverse, dx);
  check_gradient("x", x, dx, [&] {
    rotate(x, Rotation::forward, out);
    return weighted(out, dout);
  });
}

TEST_CASE("swiglu's gradient reaches gate and up") {
  Machine m;
  Array gate_up = Array::random(kDouble, {3, 10}, 1), y(kDouble, {3, 5}), dgate_up(kDouble, {3, 10});
  for (std::int64_t i = 0; i < gate_up.size(); ++i) gate_up.set(i, 3 * gate_up.get(i));
  const Array dy = Array::random(kDouble, {3, 5}, 2);
  ops::swiglu_backward(m.exec, {.gate_up = gate_up, .dy = dy, .dgate_up = dgate_up});
  check_gradient("gate and up", gate_up, dgate_up, [&] {
    ops::swiglu_forward(m.exec, {.gate_up = gate_up, .y = y});
    return weighted(y, dy);
  });
}

TEST_CASE("embedding's gradient reaches the rows of tokens that are there, once per occurrence") {
  Machine m;
  Array table = Array::random(kDouble, {4, 3}, 1), out(kDouble, {5, 3}), dtable(kDouble, {4, 3});
  const Array dout = Array::random(kDouble, {5, 3}, 2),
              tokens = Array::of(DType::int32, {5}, {11, 10, 11, 9, 14});
  ops::embedding_backward(m.exec, {.tokens = tokens, .dout = dout, .dtable = dtable, .first_token = 10});
  check_gradient("table", table, dtable, [&] {
    ops::embedding_forward(m.exec, {.tokens = tokens, .table = table, .out = out, .first_token = 10});
    return weighted(out, dout);
  });
}

TEST_CASE("the gradient of the loss is that of its own sum, with the vocabulary in two parts") {
  Machine m;
  Array logits = Array::random(kDouble, {4, 7}, 1);
  const Array targets = Array::of(DType::int32, {4}, {6, -1, 0, 3});
  Array maximum(kDouble, {2, 4}), sum(kDouble, {2, 4}), hit(kDouble, {2, 4}), lse(kDouble, {4}),
      dlogits(kDouble, {4, 7});
  const auto part = [](const Array& x, std::int64_t i) { return x.tensor.slice(0, i, i + 1).view({4}); };
  const auto columns = [](const Array& x, std::int64_t i) {
    return x.tensor.slice(1, 3 * i, i == 0 ? 3 : 7);
  };
  const auto loss = [&] {
    for (std::int64_t i = 0; i < 2; ++i)
      ops::loss_statistics(m.exec, {.logits = columns(logits, i),
                                    .targets = targets,
                                    .first_token = 3 * i,
                                    .maximum = part(maximum, i),
                                    .sum = part(sum, i),
                                    .target_logit = part(hit, i)});
    const Array total(kDouble, {1});
    ops::loss_combine(
        m.exec,
        {.maximum = maximum, .sum = sum, .target_logit = hit, .targets = targets, .lse = lse, .loss = total});
    return total.get(0);
  };
  loss();
  for (std::int64_t i = 0; i < 2; ++i)
    ops::loss_gradient(m.exec, {.logits = columns(logits, i),
                                .targets = targets,
                                .lse = lse,
                                .first_token = 3 * i,
                                .dlogits = columns(dlogits, i)});
  check_gradient("logits", logits, dlogits, loss);
}
