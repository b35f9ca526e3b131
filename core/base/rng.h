// Counter-based random numbers: a number is a function of (seed, key, index), so any rank can draw any
// element of anything and nothing has a state to save. Philox 4x32 with 10 rounds (Salmon, Moraes, Dror,
// Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011). Thread rules: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace drover {

using PhiloxBlock = std::array<std::uint32_t, 4>;

// The bijection itself: 128 bits of counter under a 64-bit key.
PhiloxBlock philox(PhiloxBlock counter, std::array<std::uint32_t, 2> key);

// What keeps streams of one seed apart: XXH3-64 of a name ("model.norm.weight", "sampling").
std::uint64_t key_of(std::string_view name);

// 64 uniform bits; [0, 1) with 53 bits; normal(0, 1) by Box and Muller in double.
std::uint64_t random_bits(std::uint64_t seed, std::uint64_t key, std::uint64_t index);
double random_uniform(std::uint64_t seed, std::uint64_t key, std::uint64_t index);
double random_normal(std::uint64_t seed, std::uint64_t key, std::uint64_t index);

}  // namespace drover
