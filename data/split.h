// Cuts text into the pieces inside which BPE merges, by a regular expression run on PCRE2.
//
// Patterns come from tokenizer.json files, written for Oniguruma or Rust's regex. translate_pattern accepts
// what means the same there and here and refuses the rest by name:
//   accepted  literals, . | () (?:) (?i:) (?=) (?!) quantifiers (lazy, possessive too), [...] and [^...] with
//   ranges,
//             \r \n \t \f \v \d \D \p{..} \P{..} \s \S \xHH \x{..} \uHHHH, and any escaped punctuation
//   rewritten \s and \S to White_Space as Rust has it (PCRE2's \s also holds U+180E); \uHHHH to \x{HHHH}
//   refused   ^ $ \b \w \h and the other letters (they differ), [ or && inside [...], \S inside [...],
//   look-behind, and a
//             pattern that may match nothing
// Unicode tables are PCRE2's (10.42: Unicode 14): characters assigned later count as neither letter nor
// number.
//
// Patterns are untrusted. Each match is bounded (10 million + 4 per byte of text backtracking steps, 64 MiB
// of heap, 1 MiB of machine stack), and all matching of one Splitter together by CPU time: 5 s + 4 s per MB
// split, a hundredth of the speed of the Llama-3 pattern. Beyond that: an input error that names the pattern.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

// In PCRE2's syntax, or an input error that starts with `path`.
std::string translate_pattern(std::string_view pattern, std::string_view path);

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

// The mutable half, for one thread. Refers to the pattern, which must outlive it.
class Splitter {
 public:
  explicit Splitter(const SplitPattern& pattern);
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
