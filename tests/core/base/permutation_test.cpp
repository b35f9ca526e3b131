#include "core/base/permutation.h"

#include <cstdlib>
#include <set>
#include <vector>

#include "core/base/error.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

bool is_bijection(std::int64_t size, std::uint64_t key) {
  const Permutation permutation(size, key);
  std::vector<bool> seen(size, false);
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t image = permutation(i);
    if (image < 0 || image >= size || seen[image]) return false;
    seen[image] = true;
  }
  return true;
}

TEST_CASE("a permutation is a bijection at every size") {
  for (std::int64_t size = 1; size <= 300; ++size) {
    for (const std::uint64_t key : {0u, 1u, 77u}) REQUIRE(is_bijection(size, key));
  }
  for (const std::int64_t size : {1023, 1024, 1025, 4097, 65536, 100003}) REQUIRE(is_bijection(size, 5));
}

TEST_CASE("a permutation of nothing has no index, and others refuse one outside") {
  CHECK(Permutation().size() == 0);
  CHECK_THROWS_AS(Permutation(0, 1)(0), Error);
  CHECK_THROWS_AS(Permutation(7, 1)(7), Error);
  CHECK_THROWS_AS(Permutation(7, 1)(-1), Error);
}

TEST_CASE("a permutation of 2^40 answers without memory") {
  const Permutation permutation(std::int64_t{1} << 40, 3);
  std::set<std::int64_t> images;
  for (std::int64_t i = 0; i < 1000; ++i) images.insert(permutation(i << 30));
  CHECK(images.size() == 1000);
  CHECK(*images.begin() >= 0);
  CHECK(*images.rbegin() < (std::int64_t{1} << 40));
}

TEST_CASE("over keys every element goes everywhere equally often") {
  // 16 places, 8192 keys: 512 expected in each; chi-square with 15 degrees of freedom is above 37.7 once in a
  // thousand.
  for (const std::int64_t element : {0, 7, 15}) {
    std::vector<int> counts(16, 0);
    for (std::uint64_t key = 0; key < 8192; ++key) ++counts[Permutation(16, key)(element)];
    double chi_square = 0;
    for (const int count : counts) chi_square += (count - 512.0) * (count - 512.0) / 512.0;
    CHECK(chi_square < 37.7);
  }
}

TEST_CASE("neighbours are torn apart") {
  // A random order keeps i and i + 1 together, in this order, about once whatever its size.
  std::int64_t kept = 0;
  for (std::uint64_t key = 0; key < 100; ++key) {
    const Permutation permutation(1000, key);
    for (std::int64_t i = 0; i + 1 < 1000; ++i) kept += permutation(i + 1) == permutation(i) + 1;
  }
  CHECK(kept > 50);
  CHECK(kept < 200);
}

TEST_CASE("every part changes a key") {
  const std::set<std::uint64_t> keys{mix_key(0, std::uint64_t{0}),
                                     mix_key(0, std::uint64_t{1}),
                                     mix_key(1, std::uint64_t{0}),
                                     mix_key(0, ""),
                                     mix_key(0, "a"),
                                     mix_key(0, "b"),
                                     mix_key(0, "ab"),
                                     mix_key(0, "ba"),
                                     mix_key(1, "ab")};
  CHECK(keys.size() == 9);
}

}  // namespace
}  // namespace drover
