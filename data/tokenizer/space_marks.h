// Spaces written as U+2581, as SentencePiece's vocabularies spell them.
// Thread rules: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace drover {

inline constexpr std::string_view kSpaceMark = "\u2581";

// Where a tokenizer writes marks, in the words of tokenizer.json. A section is what lies between added tokens.
struct SpaceMarks {
  enum class Writer : std::uint8_t {
    none,
    normalizer,    // before the added tokens that are `normalized` are looked for, which are marked likewise
    pre_tokenizer  // after
  };
  // What gets one mark more in front; from the pre-tokenizer only if it does not begin with one.
  enum class Before : std::uint8_t { nothing, text, sections };

  Writer writer = Writer::none;
  Before before = Before::nothing;

  bool operator==(const SpaceMarks&) const = default;
};

// Overwrites `out` with `text` whose spaces are marks, one more in front if `before`.
void mark_spaces(std::string_view text, bool before, std::string& out);

// Marks are spaces again.
std::string unmark_spaces(std::string_view text);

}  // namespace drover
