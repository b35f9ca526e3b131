// Which instructions are chosen, and that a path is one set of bits.
#include "core/cpu/path.h"

#include <cstdlib>
#include <optional>

#include "core/base/child.h"
#include "core/base/digest.h"
#include "tests/core/ops/op_fixture.h"
#include "tests/support/test_support.h"

using namespace drover;
using namespace drover::test;

namespace {

Processor amd(int family, CpuPath highest) {
  return {.vendor = "AuthenticAMD", .family = family, .model = 0x11, .highest = highest};
}

Processor intel(int model, CpuPath highest) {
  return {.vendor = "GenuineIntel", .family = 6, .model = model, .highest = highest};
}

// What `work` returns in a child process whose oneDNN may not go above `instructions`; none if the child died.
template <class Work>
std::optional<std::uint64_t> in_child_up_to(const char* instructions, Work work) {
  return in_child([&]() -> std::uint64_t {
    setenv("DNNL_MAX_CPU_ISA", instructions, 1);
    return work();
  });
}

// The bits of a product, of a size that the library cuts in every dim.
std::uint64_t bits_of_product(CpuPath path, DType dtype) {
  Machine machine(path, 1);
  const Array a = Array::random(dtype, {130, 300}, 1), b = Array::random(dtype, {270, 300}, 2);
  const Array out = Array::random(dtype, {130, 270}, 3);
  ops::matmul(machine.exec, {.product = Product::nt, .a = a.tensor, .b = b.tensor, .out = out.tensor});
  return digest_of({reinterpret_cast<const char*>(out.bytes().data()), out.bytes().size()}).low;
}

}  // namespace

TEST_CASE("the path follows from vendor and family, not from a flag") {
  CHECK(choose_path(amd(0x19, CpuPath::avx512_bf16)).path == CpuPath::avx512_bf16);
  CHECK(choose_path(amd(0x1a, CpuPath::avx512_bf16)).path == CpuPath::avx512_bf16);
  CHECK(choose_path(amd(0x19, CpuPath::avx2)).path == CpuPath::avx2);  // Zen 3 is of Zen 4's family
  CHECK(choose_path(intel(0xcf, CpuPath::amx)).path == CpuPath::amx);
  CHECK(choose_path(intel(0xcf, CpuPath::avx512_bf16)).path == CpuPath::avx512);
  CHECK(choose_path(intel(0x55, CpuPath::avx512_bf16)).path == CpuPath::avx512);  // Cooper Lake: not measured
  CHECK(choose_path(intel(0x55, CpuPath::avx512)).path == CpuPath::avx512);
  CHECK(choose_path(intel(0x97, CpuPath::avx2)).path == CpuPath::avx2);
  CHECK(choose_path({.vendor = "SomebodyElse", .family = 6, .highest = CpuPath::avx512_bf16}).path ==
        CpuPath::avx512);
  CHECK(choose_path({}).path == CpuPath::plain);
}

TEST_CASE("this processor's default path is one that it can run") {
  CHECK(default_cpu_path() <= highest_cpu_path());
  CHECK(default_cpu_path() == choose_path(this_processor()).path);
}

TEST_CASE("paths are found by their names") {
  for (int i = 0; i <= static_cast<int>(CpuPath::amx); ++i)
    CHECK(cpu_path_named(name_of(static_cast<CpuPath>(i))) == static_cast<CpuPath>(i));
  CHECK_FALSE(cpu_path_named("sse4"));
}

TEST_CASE("a path is one set of bits, whatever else the library could compute with") {
  const CpuPath highest = highest_cpu_path();
  for (const auto& [path, dtype] : {std::pair{CpuPath::avx512, DType::float32},
                                    {CpuPath::avx512, DType::bfloat16},
                                    {CpuPath::avx512_bf16, DType::float32},
                                    {CpuPath::avx512_bf16, DType::bfloat16}}) {
    if (path > highest) continue;
    INFO(name_of(path) << " " << name_of(dtype));
    const auto product = [path = path, dtype = dtype] { return bits_of_product(path, dtype); };
    const auto unlimited = in_child_up_to("ALL", product), limited = in_child_up_to("AVX512_CORE", product);
    REQUIRE(unlimited);
    CHECK(unlimited == limited);
  }
}

TEST_CASE("a process that computes on one of the library's bfloat16 paths is refused the other") {
  if (highest_cpu_path() < CpuPath::amx) {
    CHECK_THROWS_AS(Machine(CpuPath::amx), Error);
    return;
  }
  const auto refused = in_child_up_to("ALL", [] {
    bits_of_product(CpuPath::amx, DType::bfloat16);
    try {
      bits_of_product(CpuPath::avx512_bf16, DType::bfloat16);
      return 0;
    } catch (const Error& error) {
      return error.exit() == Exit::usage ? 1 : 2;
    }
  });
  CHECK(refused == 1u);
}
