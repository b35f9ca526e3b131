#include "core/base/permutation.h"

#include <bit>

#include "core/base/error.h"

namespace drover {
namespace {

// The 64-bit finaliser of MurmurHash3 (A. Appleby, public domain): every input bit moves every output bit.
std::uint64_t scramble(std::uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

std::uint64_t low_mask(int bits) { return (std::uint64_t{1} << bits) - 1; }

}  // namespace

std::uint64_t mix_key(std::uint64_t key, std::uint64_t part) {
  // The odd constant keeps (0, 0) from being the fixed point of scramble.
  return scramble(scramble(key + 0x9e3779b97f4a7c15ULL) ^ part);
}

std::uint64_t mix_key(std::uint64_t key, std::string_view part) {
  for (const char c : part) key = mix_key(key, static_cast<std::uint64_t>(static_cast<unsigned char>(c)));
  // The complement, so that a text is no number, nor a shorter text followed by numbers.
  return mix_key(key, ~static_cast<std::uint64_t>(part.size()));
}

Permutation::Permutation(std::int64_t size, std::uint64_t key) : size_(size) {
  DROVER_CHECK(size >= 0, "size ", size);
  const int bits = size > 1 ? static_cast<int>(std::bit_width(static_cast<std::uint64_t>(size - 1))) : 0;
  low_bits_ = (bits + 1) / 2;
  high_bits_ = bits - low_bits_;
  for (int round = 0; round < kRounds; ++round) {
    round_keys_[round] = mix_key(key, static_cast<std::uint64_t>(round));
  }
}

std::uint64_t Permutation::pass(std::uint64_t value) const {
  std::uint64_t low = value & low_mask(low_bits_), high = value >> low_bits_;
  for (int round = 0; round < kRounds; round += 2) {
    low ^= scramble(high ^ round_keys_[round]) & low_mask(low_bits_);
    high ^= scramble(low ^ round_keys_[round + 1]) & low_mask(high_bits_);
  }
  return high << low_bits_ | low;
}

std::int64_t Permutation::operator()(std::int64_t index) const {
  DROVER_CHECK(index >= 0 && index < size_, "index ", index, " of ", size_);
  std::uint64_t value = static_cast<std::uint64_t>(index);
  do {
    value = pass(value);
  } while (value >= static_cast<std::uint64_t>(size_));
  return static_cast<std::int64_t>(value);
}

}  // namespace drover
