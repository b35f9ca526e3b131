#include "tests/core/ops/op_fixture.h"

using namespace drover;
using namespace drover::test;

namespace {

struct Shape {
  std::int64_t m, n, k;
};

std::vector<std::int64_t> a_dims(Product product, Shape s) {
  return product == Product::tn ? std::vector{s.k, s.m} : std::vector{s.m, s.k};
}
std::vector<std::int64_t> b_dims(Product product, Shape s) {
  return product == Product::nt ? std::vector{s.n, s.k} : std::vector{s.k, s.n};
}

// The definition, term by term.
std::vector<double> reference(Product product, Shape s, const Array& a, const Array& b,
                              const std::vector<double>& start) {
  const std::vector<double> x = a.values(), y = b.values();
  std::vector<double> out = start;
  const auto at = [](const std::vector<double>& v, std::int64_t index) {
    return v[static_cast<std::size_t>(index)];
  };
  for (std::int64_t i = 0; i < s.m; ++i)
    for (std::int64_t j = 0; j < s.n; ++j)
      for (std::int64_t k = 0; k < s.k; ++k)
        out[static_cast<std::size_t>(i * s.n + j)] +=
            at(x, product == Product::tn ? k * s.m + i : i * s.k + k) *
            at(y, product == Product::nt ? j * s.k + k : k * s.n + j);
  return out;
}

void check_product(Machine& machine, DType in, DType out_dtype, Product product, Shape s, Write write,
                   std::int64_t gap) {
  CAPTURE(s.m, s.n, s.k, static_cast<int>(product), static_cast<int>(write), gap);
  const Array a = Array::random(in, a_dims(product, s), 1, gap),
              b = Array::random(in, b_dims(product, s), 2, gap);
  Array out = Array::random(out_dtype, {s.m, s.n}, 3, gap);
  const std::vector<double> start =
      write == Write::add ? out.values() : std::vector<double>(static_cast<std::size_t>(s.m * s.n));
  ops::matmul(machine.exec, {.product = product, .a = a, .b = b, .out = out, .write = write});
  // Rounding of terms adds up like a random walk; the inputs are exact, so bfloat16 is no worse than float32
  // inside.
  const double accumulated = (in == DType::float64 ? 1e-15 : 3e-7) * std::sqrt(static_cast<double>(s.k) + 1);
  CHECK(relative_error(out, reference(product, s, a, b, start)) <=
        accumulated + (out_dtype == DType::bfloat16 ? tolerance(out_dtype) : 0));
  CHECK(out.gaps_untouched());
}

}  // namespace

TEST_CASE("products in every orientation equal the sum over terms") {
  for_each_case([](Machine& machine, DType compute) {
    for (Product product : {Product::nt, Product::nn, Product::tn})
      for (Shape s : {Shape{1, 1, 1}, {3, 5, 7}, {64, 64, 64}, {65, 33, 300}, {130, 70, 17}, {300, 290, 40}})
        for (std::int64_t gap : {0, 8}) {
          check_product(machine, compute, compute, product, s, Write::assign, gap);
          check_product(machine, compute, master_dtype(compute), product, s, Write::add, gap);
        }
  });
}

TEST_CASE("a bfloat16 product may be written in float32") {
  for_each_case([](Machine& machine, DType compute) {
    if (compute == DType::bfloat16)
      check_product(machine, compute, DType::float32, Product::tn, {64, 48, 500}, Write::assign, 0);
  });
}

TEST_CASE("a product without terms is zero, and without rows nothing") {
  for_each_case([](Machine& machine, DType compute) {
    for (Product product : {Product::nt, Product::nn, Product::tn}) {
      check_product(machine, compute, compute, product, {5, 6, 0}, Write::assign, 2);
      check_product(machine, compute, master_dtype(compute), product, {5, 6, 0}, Write::add, 2);
      check_product(machine, compute, compute, product, {0, 6, 4}, Write::assign, 0);
      check_product(machine, compute, compute, product, {5, 0, 4}, Write::assign, 0);
    }
  });
}

TEST_CASE("a product of operands that don't fit is refused by name") {
  Machine machine;
  const Array a(DType::float32, {4, 8}), b(DType::float32, {5, 7}), out(DType::float32, {4, 5});
  CHECK_THROWS_WITH(
      ops::matmul(machine.exec, {.product = Product::nt, .a = a, .b = b, .out = out}),
      Catch::Contains("matmul") && Catch::Contains("b is float32[5, 7]") && Catch::Contains("float32[5, 8]"));
  const Array narrow(DType::bfloat16, {4, 5}), c(DType::bfloat16, {4, 8}), d(DType::bfloat16, {5, 8});
  CHECK_THROWS_WITH(ops::matmul(machine.exec, {.a = c, .b = d, .out = narrow, .write = Write::add}),
                    Catch::Contains("master"));
}
