// What tests of verbs share: a backend with its scratch, arrays of any dtype that can be read as doubles, and
// one loop over every dtype and every instruction path of this processor.
#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "core/ops/ops.h"
#include "tests/support/test_support.h"

namespace drover::test {

// All that this processor can run, the highest first, but for avx512_bf16 where it has amx: a process can use one of the
// two, that of its first product (core/cpu/onednn.h). With DROVER_TEST_WITHOUT_AMX in the environment it is avx512_bf16.
std::vector<CpuPath> available_paths();

// A CPU backend, its memory and 64 MiB of scratch.
struct Machine {
  explicit Machine(CpuPath path = available_paths().front(), int threads = 2)
      : backend(make_cpu_backend(memory, {.threads = threads, .path = path})),
        scratch_bytes(memory, 64 << 20, MemoryCategory::scratch),
        scratch(scratch_bytes),
        exec{*backend, scratch} {}

  HostMemory memory;
  std::unique_ptr<Backend> backend;
  Buffer scratch_bytes;
  Arena scratch;
  Exec exec;
};

// A small generator: tests must not depend on the one they test.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull + 1) {}
  std::uint64_t bits() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    return state_ ^= state_ << 17;
  }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }  // [0, 1)
  double symmetric() { return 2 * uniform() - 1; }                          // [-1, 1)
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(n));
  }

 private:
  std::uint64_t state_;
};

// Owns a tensor whose rows may have a gap between them, filled with a sentinel that must survive.
class Array {
 public:
  Array(DType dtype, std::vector<std::int64_t> dims, std::int64_t gap = 0);
  static Array random(DType dtype, std::vector<std::int64_t> dims, std::uint64_t seed, std::int64_t gap = 0);
  static Array of(DType dtype, std::vector<std::int64_t> dims, const std::vector<double>& values);

  Tensor tensor;
  operator const Tensor&() const { return tensor; }

  std::int64_t size() const { return tensor.numel(); }
  double get(std::int64_t index) const;        // row-major, gaps not counted
  void set(std::int64_t index, double value);  // rounded to the dtype
  std::vector<double> values() const;
  bool gaps_untouched() const;
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  void* address(std::int64_t index) const;
  std::int64_t gap_;
  std::vector<std::byte> bytes_;
};

// max |a - b|, not a number where either holds one that is not; 0 where both are empty.
double largest_difference(const std::vector<double>& a, const std::vector<double>& b);
// The same / max |b|.
double relative_error(const std::vector<double>& a, const std::vector<double>& b);
inline double relative_error(const Array& a, const std::vector<double>& b) {
  return relative_error(a.values(), b);
}

// What one rounding to this dtype and a short sum in its accumulator may cost.
double tolerance(DType compute);

// body(machine, compute) for every compute dtype on every path.
void for_each_case(const std::function<void(Machine&, DType)>& body);

}  // namespace drover::test
