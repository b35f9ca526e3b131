#include "core/base/rng.h"

#include <cmath>

#include "tests/support/test_support.h"

namespace drover {

TEST_CASE("Philox gives the published known answers") {
  // Random123's known-answer tests for philox4x32 with 10 rounds.
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("normal numbers have the moments of a normal distribution") {
  const int n = 200000;
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < n; ++i) {
    const double x = random_normal(1, key_of("a"), static_cast<std::uint64_t>(i));
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  CHECK(std::abs(sum / n) < 0.01);
  CHECK(std::abs(squares / n - 1) < 0.02);
  CHECK(std::abs(fourth / n - 3) < 0.15);
}

TEST_CASE("seed, key and index each change the number") {
  const double x = random_uniform(1, 2, 3);
  CHECK(random_uniform(1, 2, 3) == x);
  CHECK(random_uniform(9, 2, 3) != x);
  CHECK(random_uniform(1, 9, 3) != x);
  CHECK(random_uniform(1, 2, 9) != x);
  CHECK(key_of("model.norm.weight") != key_of("lm_head.weight"));
}

}  // namespace drover
