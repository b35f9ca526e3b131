#include <numeric>

#include "tests/core/ops/op_fixture.h"

using namespace drover;
using namespace drover::test;

namespace {

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

double silu(double x) { return x / (1 + std::exp(-x)); }

struct Angles {
  Array cosine, sine, positions;
};

Angles random_angles(DType master, std::int64_t tokens, std::int64_t table_rows, std::int64_t half) {
  Angles angles{Array(master, {table_rows, half}), Array(master, {table_rows, half}),
                Array(DType::int32, {tokens})};
  Numbers numbers(9);
  for (std::int64_t i = 0; i < table_rows * half; ++i) {
    const double angle = 6 * numbers.symmetric();
    angles.cosine.set(i, std::cos(angle));
    angles.sine.set(i, std::sin(angle));
  }
  for (std::int64_t i = 0; i < tokens; ++i)
    angles.positions.set(i, static_cast<double>(numbers.below(table_rows)));
  return angles;
}

std::vector<double> rotated(const Array& x, const Angles& angles, double sign) {
  const std::int64_t heads = x.tensor.dims[1], size = x.tensor.dims[2], half = size / 2;
  std::vector<double> out(at(x.size()));
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const std::int64_t e = i % size, token = i / (heads * size);
    const std::int64_t angle = static_cast<std::int64_t>(angles.positions.get(token)) * half + e % half;
    const double other = e < half ? -x.get(i + half) : x.get(i - half);
    out[at(i)] = x.get(i) * angles.cosine.get(angle) + sign * other * angles.sine.get(angle);
  }
  return out;
}

}  // namespace

TEST_CASE("rope rotates the halves of each head by its token's position, and inverse undoes it") {
  struct Size {
    std::int64_t tokens, heads, size, gap;
  };
  for_each_case([](Machine& machine, DType compute) {
    for (Size s : {Size{0, 2, 8, 0}, {1, 1, 2, 0}, {5, 3, 10, 7}, {40, 4, 64, 0}, {7, 2, 128, 16}})
      for (DType in : {compute, master_dtype(compute)})
        for (DType out_dtype : {compute, master_dtype(compute)}) {
          CAPTURE(s.tokens, s.heads, s.size, s.gap, name_of(in), name_of(out_dtype));
          const Angles angles = random_angles(master_dtype(compute), s.tokens, 11, s.size / 2);
          const Array x = Array::random(in, {s.tokens, s.heads, s.size}, 1, s.gap);
          Array out(out_dtype, {s.tokens, s.heads, s.size}, s.gap);
          for (Rotation rotation : {Rotation::forward, Rotation::inverse}) {
            ops::rope(machine.exec, {.x = x,
                                     .cosine = angles.cosine,
                                     .sine = angles.sine,
                                     .positions = angles.positions,
                                     .rotation = rotation,
                                     .out = out});
            CHECK(relative_error(out, rotated(x, angles, rotation == Rotation::forward ? 1 : -1)) <=
                  tolerance(out_dtype));
            CHECK(out.gaps_untouched());
          }
        }
  });
}

TEST_CASE("rope in place, on a slice of the heads, leaves the other heads alone") {
  for_each_case([](Machine& machine, DType compute) {
    const Angles angles = random_angles(master_dtype(compute), 6, 8, 8);
    Array x = Array::random(compute, {6, 4, 16}, 2);
    const std::vector<double> before = x.values(), all = rotated(x, angles, 1);
    const Tensor part = x.tensor.slice(1, 1, 3);
    ops::rope(machine.exec, {.x = part,
                             .cosine = angles.cosine,
                             .sine = angles.sine,
                             .positions = angles.positions,
                             .out = part});
    std::vector<double> expected = before;
    for (std::int64_t i = 0; i < x.size(); ++i)
      if (const std::int64_t head = i / 16 % 4; head == 1 || head == 2) expected[at(i)] = all[at(i)];
    CHECK(relative_error(x, expected) <= tolerance(compute));
    CHECK(x.get(0) == before[0]);
  });
}

TEST_CASE("swiglu multiplies silu of the gate by up, also for extreme gates") {
  for_each_case([](Machine& machine, DType compute) {
    for (std::int64_t dim : {1, 7, 64, 100}) {
      Array gate_up = Array::random(compute, {33, 2 * dim}, 1, 4), y(compute, {33, dim}, 3);
      for (std::int64_t i = 0; i < gate_up.size(); i += 3) gate_up.set(i, gate_up.get(i) * 20);
      gate_up.set(0, -200);
      gate_up.set(2 * dim, 200);
      ops::swiglu_forward(machine.exec, {.gate_up = gate_up, .y = y});
      std::vector<double> expected;
      for (std::int64_t i = 0; i < y.size(); ++i) {
        const std::int64_t gate = i / dim * 2 * dim + i % dim;
        expected.push_back(silu(gate_up.get(gate)) * gate_up.get(gate + dim));
      }
      CHECK(relative_error(y, expected) <= tolerance(compute));
      CHECK(y.gaps_untouched());
    }
  });
}

TEST_CASE("swiglu's gradient may overwrite its input") {
  for_each_case([](Machine& machine, DType compute) {
    for (std::int64_t dim : {1, 7, 64, 100}) {
      Array gate_up = Array::random(compute, {33, 2 * dim}, 1, 4);
      for (std::int64_t i = 0; i < gate_up.size(); i += 3) gate_up.set(i, gate_up.get(i) * 10);
      const Array dy = Array::random(compute, {33, dim}, 2, 3);
      std::vector<double> expected(at(gate_up.size()));
      for (std::int64_t i = 0; i < dy.size(); ++i) {
        const std::int64_t gate = i / dim * 2 * dim + i % dim;
        const double g = gate_up.get(gate), s = 1 / (1 + std::exp(-g));
        expected[at(gate)] = dy.get(i) * gate_up.get(gate + dim) * s * (1 + g * (1 - s));
        expected[at(gate + dim)] = dy.get(i) * silu(g);
      }
      ops::swiglu_backward(machine.exec, {.gate_up = gate_up, .dy = dy, .dgate_up = gate_up});
      CHECK(relative_error(gate_up, expected) <= 2 * tolerance(compute));
      CHECK(gate_up.gaps_untouched());
    }
  });
}

TEST_CASE("embedding reads table rows, and zero for tokens of another part of the vocabulary") {
  for_each_case([](Machine& machine, DType compute) {
    const Array table = Array::random(compute, {5, 37}, 1, 2);
    const Array tokens = Array::of(DType::int32, {6}, {10, 14, 9, 15, 12, 10});
    Array out = Array::random(compute, {6, 37}, 2, 1);
    ops::embedding_forward(machine.exec, {.tokens = tokens, .table = table, .out = out, .first_token = 10});
    for (std::int64_t i = 0; i < 6; ++i)
      for (std::int64_t d = 0; d < 37; ++d) {
        const std::int64_t row = static_cast<std::int64_t>(tokens.get(i)) - 10;
        CHECK(out.get(i * 37 + d) == (row >= 0 && row < 5 ? table.get(row * 37 + d) : 0));
      }
    CHECK(out.gaps_untouched());
  });
}

TEST_CASE("embedding's gradient adds the rows of repeated tokens and skips other parts of the vocabulary") {
  for_each_case([](Machine& machine, DType compute) {
    for (std::int64_t dim : {1, 37, 1100}) {
      Array tokens(DType::int32, {50});
      Numbers numbers(3);
      for (std::int64_t i = 0; i < 50; ++i) tokens.set(i, static_cast<double>(8 + numbers.below(9)));
      const Array dout = Array::random(compute, {50, dim}, 1, 2);
      Array dtable = Array::random(master_dtype(compute), {5, dim}, 2, 3);
      std::vector<double> expected = dtable.values();
      for (std::int64_t i = 0; i < dout.size(); ++i)
        if (const double row = tokens.get(i / dim) - 10; row >= 0 && row < 5)
          expected[at(static_cast<std::int64_t>(row) * dim + i % dim)] += dout.get(i);
      ops::embedding_backward(machine.exec,
                              {.tokens = tokens, .dout = dout, .dtable = dtable, .first_token = 10});
      CHECK(relative_error(dtable, expected) <= tolerance(master_dtype(compute)));
      CHECK(dtable.gaps_untouched());
    }
  });
}
