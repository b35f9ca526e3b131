// What follows from lists of operands: which memory is shared, and the bytes that are counted.
#include "core/ops/counting_backend.h"
#include "tests/core/ops/op_fixture.h"

using namespace drover;
using namespace drover::test;

namespace {

Tensor f32(std::initializer_list<std::int64_t> dims) { return Tensor::of(nullptr, DType::float32, dims); }
Tensor i32(std::initializer_list<std::int64_t> dims) { return Tensor::of(nullptr, DType::int32, dims); }

template <class Arguments>
std::int64_t bytes_of(void (Backend::*verb)(const Exec&, const Arguments&), const Arguments& arguments) {
  Machine machine;
  CountingBackend counting(*machine.backend);
  (counting.*verb)({.backend = counting, .scratch = machine.scratch}, arguments);
  CHECK(counting.count().verbs == 1);
  return counting.count().bytes_touched;
}

// Whether they share an element, element by element.
bool meet(const Tensor& a, const Tensor& b) {
  const auto bytes = [](const Tensor& x) {
    std::vector<const std::byte*> begins;
    for (std::int64_t i = 0; i < x.dims[0]; ++i)
      for (std::int64_t j = 0; j < x.dims[1]; ++j)
        for (std::int64_t k = 0; k < x.dims[2]; ++k)
          begins.push_back(static_cast<const std::byte*>(x.data) +
                           (i * x.strides[0] + j * x.strides[1] + k) * size_of(x.dtype));
    return begins;
  };
  for (const std::byte* x : bytes(a))
    for (const std::byte* y : bytes(b))
      if (x < y + size_of(b.dtype) && y < x + size_of(a.dtype)) return true;
  return false;
}

}  // namespace

TEST_CASE("two pieces of a tensor overlap where they share an element") {
  const std::int64_t heads = GENERATE(1, 5);  // with one, rows have no gaps inside
  std::vector<float> memory(static_cast<std::size_t>(6 * heads * 8));
  const Tensor whole = Tensor::of(memory.data(), {6, heads, 8});
  Numbers numbers(1);
  const auto piece = [&] {
    Tensor x = whole;
    for (int dim = 0; dim < 3; ++dim) {
      const std::int64_t size = x.dims[static_cast<std::size_t>(dim)], begin = numbers.below(size);
      x = x.slice(dim, begin, begin + 1 + numbers.below(size - begin));
    }
    return x;
  };
  int shared = 0;
  for (int i = 0; i < 2000; ++i) {
    const Tensor a = piece(), b = piece();
    INFO(a.describe() << " and " << b.describe());
    CHECK(overlap(a, b) == meet(a, b));
    CHECK(overlap(a, b) == overlap(b, a));
    shared += overlap(a, b) ? 1 : 0;
  }
  CHECK(shared > 200);
  CHECK(shared < 1800);
}

TEST_CASE("nothing overlaps a tensor without data or without elements") {
  std::vector<float> memory(8);
  const Tensor x = Tensor::of(memory.data(), {8});
  CHECK(overlap(x, x));
  CHECK(!overlap(x, f32({8})));
  CHECK(!overlap(x, x.slice(0, 3, 3)));
  CHECK(!overlap(x, Tensor{}));
}

TEST_CASE("a view is the same in other strides where they step over nothing") {
  std::vector<float> memory(8);
  const Tensor x = Tensor::of(memory.data(), {4, 2}).slice(0, 1, 2);
  Tensor y = x;
  y.strides[0] = 8;
  CHECK(same_view(x, y));
  CHECK(!same_view(x, x.view({2})));
  CHECK(!same_view(x, Tensor::of(memory.data(), {4, 2}).slice(0, 2, 3)));
}

TEST_CASE("bytes are counted once for what is read or assigned, twice for what is updated") {
  CHECK(bytes_of(&Backend::copy, {.in = f32({3, 5}), .out = f32({3, 5})}) == 2 * 60);
  CHECK(bytes_of(&Backend::copy, {.in = f32({3, 5}), .out = f32({3, 5}), .write = Write::add}) == 3 * 60);
  CHECK(bytes_of(&Backend::scale, {.x = f32({15})}) == 2 * 60);
  const Tensor parts[] = {f32({15}), f32({15}), f32({15})};
  CHECK(bytes_of(&Backend::combine, {.parts = parts, .out = f32({15}), .copies = {parts, 2}}) == 6 * 60);
}

TEST_CASE("scratch is not counted, and of an embedding's table one row per token") {
  CHECK(bytes_of(&Backend::rmsnorm_backward_weight, {.dy = f32({3, 5}),
                                                     .h = f32({3, 5}),
                                                     .rstd = f32({3}),
                                                     .dweight = f32({5}),
                                                     .scratch = f32({1000})}) == 60 + 60 + 12 + 2 * 20);
  CHECK(bytes_of(&Backend::embedding_forward,
                 {.tokens = i32({3}), .table = f32({1000, 5}), .out = f32({3, 5})}) == 12 + 60 + 60);
  CHECK(bytes_of(&Backend::embedding_backward,
                 {.tokens = i32({3}), .dout = f32({3, 5}), .dtable = f32({1000, 5})}) == 12 + 60 + 2 * 60);
}
