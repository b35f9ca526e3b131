// Characters that the library of regular expressions may be too old to know: each is looked at as one of the
// same class (general category and script by Unicode 16) that any version knows.
// Thread rules: immutable.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace drover {

class StandIns {
 public:
  StandIns();

  // Overwrites `out` with `text` in which each such character is its stand-in, of as many bytes. False: there
  // are none, and `out` is as it was. `text` is valid UTF-8.
  bool put(std::string_view text, std::string& out) const;

 private:
  // Which blocks of 64 characters have any in the table: one look-up for most characters.
  bool may_have(char32_t character) const { return blocks_[character >> 12] >> (character >> 6 & 63) & 1; }

  std::array<std::uint64_t, 0x110> blocks_{};
};

// Whether a set of the characters from `first` to `last` holds a character and not its stand-in, or the other
// way round.
bool parts_stand_ins(char32_t first, char32_t last);

}  // namespace drover
