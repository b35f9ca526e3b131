#include <vector>

#include "core/base/error.h"
#include "data/tokenizer/split.h"
#include "data/tokenizer/tokenizer.h"
#include "data/unicode/classes.h"
#include "data/unicode/unicode.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

std::vector<std::string> split(const SplitRule& rule, std::string_view text, const SplitLimits& limits = {}) {
  const SplitPattern compiled(rule, "p.json");
  Splitter splitter(compiled, limits);
  splitter.start(text);
  std::vector<std::string> all;
  std::vector<std::string_view> pieces;
  for (splitter.next(pieces); !pieces.empty(); splitter.next(pieces))
    all.insert(all.end(), pieces.begin(), pieces.end());
  return all;
}

std::vector<std::string> split(std::string_view pattern, std::string_view text,
                               const SplitLimits& limits = {}) {
  return split(SplitRule{.pattern = std::string(pattern)}, text, limits);
}

using Pieces = std::vector<std::string>;

}  // namespace

TEST_CASE(
    "the Llama-3 pattern cuts contractions, numbers of three digits, words with what leads them, and "
    "spaces") {
  REQUIRE(split(kLlama3Pattern, "We'LL see 12345 birds!!\n\n  ok ") ==
          Pieces{"We", "'LL", " see", " ", "123", "45", " birds", "!!\n\n", " ", " ok", " "});
}

TEST_CASE("GPT-2's pattern keeps a space before numbers and knows no upper-case contractions") {
  REQUIRE(split(kGpt2Pattern, "We'LL it's 12345\n") == Pieces{"We", "'", "LL", " it", "'s", " 12345", "\n"});
}

TEST_CASE("the Mongolian vowel separator U+180E is not a space, U+0085 and U+2028 are") {
  REQUIRE(split(R"(\s+)", "a\u180Eb") == Pieces{"a\u180Eb"});
  REQUIRE(split(R"([^\s]+)", "a\u180Eb") == Pieces{"a\u180Eb"});
  REQUIRE(split(R"(\S+)", "a\u0085b\u2028c") == Pieces{"a", "\u0085", "b", "\u2028", "c"});
}

TEST_CASE("letters and numbers of Unicode 15 and 16 are letters and numbers") {
  for (const char* letter : {"\u1C89", "\uA7DC", "\U000105C0", "\U00011F04", "\U0002EBF0", "\U000323AF"}) {
    INFO(letter);
    const std::string word = cat("a", letter, "b");
    REQUIRE(split(kLlama3Pattern, word + "!") == Pieces{word, "!"});
    REQUIRE(split(R"(\P{L}+)", word + "!") == Pieces{word, "!"});
  }
  REQUIRE(split(kLlama3Pattern, "12\U00011F50") == Pieces{"12\U00011F50"});
  REQUIRE(split(kGpt2Pattern, "1\U0001CCF9 a") == Pieces{"1\U0001CCF9", " a"});
}

TEST_CASE("every category and script is as Unicode 16 has it") {
  REQUIRE(split(R"([\p{Lu}\p{M}]+)", "\u1C89\u0897\u1C8A") == Pieces{"\u1C89\u0897", "\u1C8A"});
  REQUIRE(split(R"([^\P{Ll}]+)", "\uA7DA\uA7DB") == Pieces{"\uA7DA", "\uA7DB"});
  REQUIRE(split(R"(\p{Han}+)", "\U00031350\u4E00\u3001") == Pieces{"\U00031350\u4E00", "\u3001"});
  REQUIRE(split(R"(\p{So}+)", "\u2FFC\U0001FAE9\U000323B0") == Pieces{"\u2FFC\U0001FAE9", "\U000323B0"});
  REQUIRE(split(R"(\p{^L}+)", "1 a") == Pieces{"1 ", "a"});
}

TEST_CASE("characters that stand in for newer ones do not show where a pattern names them") {
  const StandIns stand_ins;
  std::string replaced;
  REQUIRE_FALSE(
      stand_ins.put("plain, caf\u00e9, \u0434\u0430, \u0928, \u1E00, \u725B, \uD55C, \U0001F402", replaced));
  REQUIRE(stand_ins.put("a\U00031350b", replaced));
  REQUIRE(replaced.size() == 6);
  REQUIRE_THROWS_AS(SplitPattern({.pattern = replaced + R"(\p{L})"}, "p.json"), Error);
  REQUIRE_THROWS_AS(SplitPattern({.pattern = "[\U00031350-\U00031360]|\\d"}, "p.json"), Error);
  REQUIRE(split("[\u4E00-\u9FA5]+|[^a]", "a\U00031350\u4E00") == Pieces{"a", "\U00031350", "\u4E00"});
}

TEST_CASE("a rule says what becomes of matches and of what lies between them") {
  using Behavior = SplitBehavior;
  const auto pieces = [](Behavior behavior, bool inverted = false) {
    std::string joined;
    for (const std::string& piece :
         split({.pattern = "-", .behavior = behavior, .inverted = inverted}, "a-bc--d-"))
      joined += piece + "|";
    return joined;
  };
  CHECK(pieces(Behavior::isolated) == "a|-|bc|-|-|d|-|");
  CHECK(pieces(Behavior::removed) == "a|bc|d|");
  CHECK(pieces(Behavior::removed, true) == "-|-|-|-|");
  CHECK(pieces(Behavior::contiguous) == "a|-|bc|--|d|-|");
  CHECK(pieces(Behavior::merged_with_previous) == "a-|bc-|-|d-|");
  CHECK(pieces(Behavior::merged_with_next) == "a|-bc|-|-d|-|");
  CHECK(pieces(Behavior::merged_with_previous, true) == "a|-bc|-|-d|-|");
}

TEST_CASE("a line ends before each line feed and at the end of the text") {
  REQUIRE(split(R"(\s+$)", "a \n b  ") == Pieces{"a", " ", "\n b", "  "});
  REQUIRE(split("^a", "aa\na") == Pieces{"a", "a\n", "a"});
}

TEST_CASE("what lies between matches is a piece") {
  REQUIRE(split("b+", "abbacb") == Pieces{"a", "bb", "ac", "b"});
  REQUIRE(split("b+", "") == Pieces{});
}

TEST_CASE("more pieces than one batch come in order and are complete") {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += " w" + std::to_string(i % 7);
  std::string joined;
  for (const std::string& piece : split(kLlama3Pattern, text)) joined += piece;
  REQUIRE(joined == text);
}

TEST_CASE("patterns that libraries read differently are refused by name") {
  for (const char* pattern : {R"(\w+)",          R"(\bx)", R"(\hx)",  "[a[b]]", "[a&&b]",
                              "(?<=a)b",         "(?m)a",  "(*UTF)a", R"(a\)",  R"([a-\s])",
                              R"(\u12)",         "[]a]",   R"(\K)",   R"(\pL)", R"((?i:a|(?:\p{Lu})))",
                              "a{,3}b",          "a{2}?",  "a{1,3}+", "a{b",    R"(\p{Nonsense})",
                              R"(\p{Cyrillic})", "\xFF"}) {
    INFO(pattern);
    REQUIRE_THROWS_AS(translate_pattern(pattern, "p.json"), Error);
  }
}

TEST_CASE("patterns that don't compile or may match nothing are input errors") {
  for (const char* pattern : {"(a", "a*", "|a", "", R"(\p{Xx})"}) {
    INFO(pattern);
    REQUIRE_THROWS_AS(SplitPattern({.pattern = pattern}, "p.json"), Error);
  }
  REQUIRE_THROWS_AS(SplitPattern({.pattern = std::string(100'000, 'a')}, "p.json"), Error);
}

TEST_CASE("escapes are translated to PCRE2's") {
  REQUIRE(translate_pattern(R"(\u00e9\v\.)", "p") == R"(\x{00e9}\x0B\.)");
  REQUIRE(translate_pattern(R"([^\s\p{L}])", "p") == R"([^\t-\r\x{85}\p{Z}\p{L}])");
}

TEST_CASE("a pattern that explodes on one match ends with an input error") {
  REQUIRE_THROWS_AS(split("(?:a+)+[!?]", std::string(60, 'a'), {.steps = 100'000}), Error);
}

TEST_CASE("a pattern that crawls through the text ends with an input error") {
  // Every attempt runs to the end of the text before it takes one letter: quadratic, though no single match
  // is long.
  REQUIRE_THROWS_AS(
      split(R"(\p{L}*!|\p{L})", std::string(200'000, 'a'), {.seconds = 0.02, .seconds_per_byte = 0}), Error);
}

TEST_CASE("long runs that must backtrack once are not mistaken for a hostile pattern") {
  const std::string spaces(3'000'000, ' ');
  REQUIRE(split(kLlama3Pattern, spaces + "a") == Pieces{spaces.substr(1), " a"});
  REQUIRE(split(kLlama3Pattern, "!" + spaces) == Pieces{"!", spaces});
}

TEST_CASE("invalid UTF-8 is replaced as Python replaces it") {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"plain text, long enough", "plain text, long enough"},
      {"\xFF", "?"},
      {"a\xC3", "a?"},
      {"\xC3(", "?("},
      {"\xC0\xAF", "??"},  // overlong
      {"\xE2\x82", "?"},   // a truncated character is one
      {"\xE2\x82z", "?z"},
      {"\xED\xA0\x80", "???"},  // surrogate
      {"\xF0\x9F\x98", "?"},
      {"\xF4\x90\x80\x80", "????"},  // above U+10FFFF
      {"\xF0\x80\x80\x80", "????"},
      {"\x80\x80ok", "??ok"},
      {"12345678\xE9"
       "abcdefgh",
       "12345678?abcdefgh"},
  };
  for (const auto& [bytes, expected] : rows) {
    std::string repaired, marked;
    const std::int64_t count = replace_invalid_utf8(bytes, repaired);
    REQUIRE(find_invalid_utf8(repaired) == repaired.size());
    REQUIRE((find_invalid_utf8(bytes) == bytes.size()) == (count == 0));
    for (std::size_t at = 0; at < repaired.size();) {
      const bool replacement = repaired.compare(at, 3, "\uFFFD") == 0;
      marked += replacement ? '?' : repaired[at];
      at += replacement ? 3 : 1;
    }
    REQUIRE(marked == expected);
    REQUIRE(count == std::int64_t(std::count(expected.begin(), expected.end(), '?')));
  }
}

TEST_CASE("every byte has a printable spelling and comes back from it") {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(char(byte));
  REQUIRE(bytes_to_alphabet(" \n") == "\u0120\u010A");
  REQUIRE(alphabet_to_bytes(bytes_to_alphabet(all)) == all);
  REQUIRE_FALSE(alphabet_to_bytes(" "));
  REQUIRE_FALSE(alphabet_to_bytes("\u0145"));
  REQUIRE_FALSE(alphabet_to_bytes("\u4E00"));
  REQUIRE_FALSE(alphabet_to_bytes("\xC4"));
}

}  // namespace drover
