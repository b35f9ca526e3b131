// A keyed permutation of [0, n) in O(1) memory: an alternating Feistel network over ceil(log2 n) bits, walked
// along its cycle until it lands below n (at most two passes on average). (J. Black, P. Rogaway: Ciphers with
// Arbitrary Finite Domains, CT-RSA 2002.)
//
// The order of every feed follows from these functions: changing them changes what a resumed run reads.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace drover {

// A key from parts, each of which changes it completely. Pure; the same on every machine.
std::uint64_t mix_key(std::uint64_t key, std::uint64_t part);
std::uint64_t mix_key(std::uint64_t key, std::string_view part);

class Permutation {
 public:
  Permutation() = default;  // of nothing
  Permutation(std::int64_t size, std::uint64_t key);

  std::int64_t size() const { return size_; }
  // index in [0, size()) to its image; a bijection.
  std::int64_t operator()(std::int64_t index) const;

 private:
  static constexpr int kRounds = 8;
  std::uint64_t pass(std::uint64_t value) const;

  std::int64_t size_ = 0;
  int low_bits_ = 0, high_bits_ = 0;
  std::array<std::uint64_t, kRounds> round_keys_{};
};

}  // namespace drover
