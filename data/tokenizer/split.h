// Cuts text into the pieces inside which BPE merges, by a regular expression run on PCRE2.
//
// Patterns come from tokenizer.json files, written for Oniguruma or Rust's regex. translate_pattern accepts
// what means the same there and here and refuses the rest by name:
//   accepted  literals, . | () (?:) (?>) (?i:) (?=) (?!) quantifiers (lazy and possessive * + ? too), [...] and
//             [^...] with ranges, \r \n \t \f \v \d \D \s \S \p{..} \P{..} \xHH \x{..} \uHHHH, $ (before a line
//             feed or the end), ^ (the beginning or after a line feed), and any escaped punctuation
//   rewritten \s and \S to White_Space as Rust has it (PCRE2's \s also holds U+180E); \uHHHH to \x{HHHH}; scripts
//             to characters of that script (PCRE2 also takes those that it shares with others)
//   refused   scripts but a few and other properties; \b \w \h and the other letters (they differ), [ or && inside [...], look-behind, {,n} {n}? {n,m}+,
//             \p{Lu}, \p{Ll} and \p{Lt} inside (?i:), beside properties, a range that holds a character that PCRE2
//             may not know but not its stand-in (data/unicode/classes.h), and a pattern that may match nothing
// Properties are those of Unicode 16, whatever PCRE2's tables are: a character that is newer than these is looked
// at as its stand-in.
//
// Patterns are untrusted, so matching is bounded (SplitLimits). Beyond that: an input error that names the
// pattern, SplitTooSlow where it is the time that is over.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "data/tokenizer/split_rule.h"

namespace drover {

// In PCRE2's syntax, or an input error that starts with `path`.
std::string translate_pattern(std::string_view pattern, std::string_view path);

// Whether what it matches may depend on the version of Unicode.
bool uses_properties(std::string_view pattern);

// A compiled rule. Immutable: const functions may be called from any threads at once.
class SplitPattern {
 public:
  SplitPattern(const SplitRule& rule, std::string_view path);
  ~SplitPattern();
  SplitPattern(const SplitPattern&) = delete;
  SplitPattern& operator=(const SplitPattern&) = delete;

 private:
  friend class Splitter;
  struct Code;
  std::unique_ptr<Code> code_;
};

// Unlike other errors it depends on the machine, so what it ends must not go on without the text.
class SplitTooSlow : public Error {
 public:
  using Error::Error;
};

// The steps bound one match that explodes, the seconds many that each crawl. CPU time of the calling thread,
// summed over the life of a Splitter; the Llama-3 pattern needs a hundredth of it. One match also has 64 MiB
// of heap and 1 MiB of machine stack.
struct SplitLimits {
  std::int64_t steps = 10'000'000;  // of backtracking in one match...
  std::int64_t steps_per_byte = 4;  // ...and as many more for each byte of the text
  double seconds = 5;               // of matching...
  double seconds_per_byte = 4e-6;   // ...and as many more for each byte of all texts so far
};

// The mutable half, for one thread. Refers to the pattern, which must outlive it.
class Splitter {
 public:
  explicit Splitter(const SplitPattern& pattern, const SplitLimits& limits = {});
  ~Splitter();
  Splitter(Splitter&&) noexcept;
  Splitter& operator=(Splitter&&) noexcept;

  // `text` must be valid UTF-8 and live until the last call of next.
  void start(std::string_view text);

  // Overwrites `pieces` with the next pieces, at most a few hundred, in order, none empty, together all of
  // the text but what the rule removes. An empty result means the end.
  void next(std::vector<std::string_view>& pieces);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace drover
