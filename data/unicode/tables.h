// What Unicode says of characters, as far as Drover needs more than PCRE2 knows. The tables are written by
// scripts/make_unicode_tables.
#pragma once

#include <cstdint>
#include <span>

namespace drover {

// Characters whose class (general category, script) Unicode 14 did not know yet or gave otherwise, and one that
// has it in every version since: of as many bytes in UTF-8, and of no case.
struct StandIn {
  char32_t first, last, character;
};
std::span<const StandIn> stand_in_table();  // by `first`, disjoint

// Canonical decomposition in one step; `second` 0: into one character.
struct Decomposition {
  char32_t composed, first, second;
};
std::span<const Decomposition> composition_table();    // these are also composed; by `composed`
std::span<const Decomposition> decomposition_table();  // these are not; by `composed`

struct CombiningClass {
  char32_t first, last;
  std::uint8_t value;  // not 0
};
std::span<const CombiningClass> combining_table();  // by `first`, disjoint

}  // namespace drover
