#include "core/base/rng.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cmath>
#include <numbers>

namespace drover {

namespace {

// Multipliers and Weyl increments of Philox 4x32 (Salmon et al. 2011, table 2 and section 3.3).
constexpr std::uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr int kRounds = 10;

std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
std::uint32_t high(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }
std::uint64_t join(std::uint32_t lower, std::uint32_t upper) {
  return (static_cast<std::uint64_t>(upper) << 32) | lower;
}

PhiloxBlock block(std::uint64_t seed, std::uint64_t key, std::uint64_t index) {
  return philox({low(index), high(index), low(key), high(key)}, {low(seed), high(seed)});
}

// 53 bits in [0, 1).
double unit(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

}  // namespace

PhiloxBlock philox(PhiloxBlock c, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t product0 = kMultiplier0 * c[0], product1 = kMultiplier1 * c[2];
    c = {high(product1) ^ c[1] ^ key[0], low(product1), high(product0) ^ c[3] ^ key[1], low(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return c;
}

std::uint64_t key_of(std::string_view name) { return XXH3_64bits(name.data(), name.size()); }

std::uint64_t random_bits(std::uint64_t seed, std::uint64_t key, std::uint64_t index) {
  const PhiloxBlock b = block(seed, key, index);
  return join(b[0], b[1]);
}

double random_uniform(std::uint64_t seed, std::uint64_t key, std::uint64_t index) {
  return unit(random_bits(seed, key, index));
}

double random_normal(std::uint64_t seed, std::uint64_t key, std::uint64_t index) {
  const PhiloxBlock b = block(seed, key, index);
  const double radius = std::sqrt(-2 * std::log(1 - unit(join(b[0], b[1]))));  // 1 - u is never 0
  return radius * std::cos(2 * std::numbers::pi * unit(join(b[2], b[3])));
}

}  // namespace drover
