// Cuts text into the pieces inside which BPE merges, by a regular expression run on PCRE2.
//
// Patterns come from tokenizer.json files, written for Oniguruma or Rust's regex. translate_pattern accepts
// what means the same there and here and refuses the rest by name:
//   accepted  literals, . | () (?:) (?i:) (?=) (?!) quantifiers (lazy, possessive too), [...] and [^...] with
//             ranges, \r \n \t \f \v \d \D \p{..} \P{..} \s \S \xHH \x{..} \uHHHH, and any escaped punctuation
//   rewritten \s and \S to White_Space as Rust has it (PCRE2's \s also holds U+180E); \uHHHH to \x{HHHH};
//             \p{L} and \p{N} to what Unicode 16 has, whatever PCRE2's tables are
//   refused   ^ $ \b \w \h and the other letters (they differ), [ or && inside [...], \S, \P{L} and \P{N}
//             inside [...], look-behind, and a pattern that may match nothing
// Other properties are as PCRE2's tables have them (10.42: Unicode 14).
//
// Patterns are untrusted, so matching is bounded (SplitLimits). Beyond that: an input error that names the
// pattern.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

// Whose letters and numbers: PCRE2's, or also those that Unicode 16 has more than Unicode 14. The second is
// up to a third slower, so it is for texts with such characters only; on others both match the same.
enum class UnicodeTables : std::uint8_t { library, newer };

// In PCRE2's syntax, or an input error that starts with `path`.
std::string translate_pattern(std::string_view pattern, std::string_view path, UnicodeTables tables);

// False: the two tables agree on all characters of `text`, which is valid UTF-8.
bool has_newer_characters(std::string_view text);

// A compiled pattern. Immutable: const functions may be called from any threads at once.
class SplitPattern {
 public:
  SplitPattern(std::string_view pattern, std::string_view path);
  ~SplitPattern();
  SplitPattern(const SplitPattern&) = delete;
  SplitPattern& operator=(const SplitPattern&) = delete;

 private:
  friend class Splitter;
  struct Code;
  std::unique_ptr<Code> code_;
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
  // the text: what lies between matches is a piece as well. An empty result means the end.
  void next(std::vector<std::string_view>& pieces);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace drover
