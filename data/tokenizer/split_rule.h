// One rule by which text is cut into pieces, as a tokenizer.json spells it.
#pragma once

#include <cstdint>
#include <string>

namespace drover {

// What becomes of the matches of a pattern and of the stretches between them, in the words of tokenizer.json:
//   isolated              each is a piece
//   removed               matches are dropped
//   merged_with_previous  a match belongs to the stretch before it, merged_with_next to the one after it; a
//                         match beside a match is a piece of its own
//   contiguous            matches without a stretch between them are one piece
enum class SplitBehavior : std::uint8_t {
  isolated,
  removed,
  merged_with_previous,
  merged_with_next,
  contiguous
};

struct SplitRule {
  std::string pattern;  // see data/tokenizer/split.h for the accepted syntax
  SplitBehavior behavior = SplitBehavior::isolated;
  bool inverted = false;  // the stretches between matches are the matches, and the other way round

  bool operator==(const SplitRule&) const = default;
};

}  // namespace drover
