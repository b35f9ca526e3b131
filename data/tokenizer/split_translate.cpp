// From the pattern dialect of tokenizer.json to PCRE2's: see data/tokenizer/split.h for what is accepted and why.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "data/tokenizer/split.h"
#include "data/unicode/classes.h"
#include "data/unicode/unicode.h"

namespace drover {
namespace {

constexpr std::string_view kSpace = R"(\t-\r\x{85}\p{Z})";
// Its complement, for [...].
constexpr std::string_view kNoSpace =
    R"(\x{00}-\x{08}\x{0E}-\x{1F}!-\x{84}\x{86}-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027})"
    R"(\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{10FFFF})";

// Whose characters are the same here and in the peers, each compared.
constexpr std::string_view kScripts[] = {"Greek", "Han", "Hangul", "Hebrew", "Hiragana", "Katakana", "Thai"};

bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Translator {
 public:
  Translator(std::string_view pattern, std::string_view path)
      : pattern_(pattern), path_(path), properties_(uses_properties(pattern)) {}

  std::string run() {
    // "(*" at the start is PCRE2's own way to switch options; elsewhere it is a verb.
    if (pattern_.find("(*") != std::string_view::npos) refuse("(*");
    while (at_ < pattern_.size()) in_class_ ? class_item() : item();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw input_error(path_, ": the split pattern '", pattern_, "' uses ", what, " at offset ", at_,
                      ", which regular expression libraries read differently; Drover does not support it");
  }

  char peek(std::size_t ahead = 1) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }

  void copy(std::size_t count) { put(count, pattern_.substr(at_, count)); }

  // In place of the next `count` bytes.
  void put(std::size_t count, std::string_view text) {
    out_.append(text);
    at_ += count;
  }

  void item() {
    switch (pattern_[at_]) {
      case '\\':
        return escape();
      case '^':
        return put(1, R"((?<![^\n]))");
      case '$':
        return put(1, R"((?=\n|\z))");
      case '.':
        return put(1, R"([^\n])");
      case '(':
        return group();
      case '{':
        return repeat();
      case '[':
        in_class_ = class_empty_ = true;
        end_of_range();
        return copy(peek() == '^' ? 2 : 1);
      case ')':
        if (!caseless_.empty()) caseless_.pop_back();
        return copy(1);
      default:
        return is_one_of(pattern_[at_], "|*+?") ? copy(1) : literal();
    }
  }

  void group() {
    const std::string_view rest = pattern_.substr(at_ + 1);
    const bool inside = !caseless_.empty() && caseless_.back();
    caseless_.push_back(inside || rest.starts_with("?i:"));
    if (!rest.starts_with('?')) return copy(1);
    for (const std::string_view kind : {"?:", "?i:", "?=", "?!", "?>"}) {
      if (rest.starts_with(kind)) return copy(1 + kind.size());
    }
    refuse("a group other than (?: (?i: (?= (?! (?>");
  }

  // {n}, {n,} or {n,m}.
  void repeat() {
    std::size_t end = 1;
    while (is_digit(peek(end))) ++end;
    if (end == 1) refuse("{ without a number after it");
    const bool exact = peek(end) != ',';
    if (!exact) ++end;
    while (is_digit(peek(end))) ++end;
    if (peek(end) != '}') refuse("{ that does not repeat");
    const char after = peek(end + 1);
    if (after == '+' || (exact && after == '?')) refuse(exact ? "{n}+ or {n}?" : "{n,m}+");
    copy(end + 1);
  }

  void class_item() {
    const char c = pattern_[at_];
    if (c == '[') refuse("[ inside [...]");
    if (c == '&' && peek() == '&') refuse("&& inside [...]");
    if (c == ']') {
      if (class_empty_) refuse("] right after [");
      in_class_ = false;
      end_of_range();
      return copy(1);
    }
    const bool range = c == '-' && before_ && peek() != ']';
    class_empty_ = false;
    if (!range) return c == '\\' ? escape() : literal();
    from_ = *std::exchange(before_, std::nullopt);
    copy(1);
  }

  void end_of_range() {
    before_.reset();
    from_.reset();
  }

  void literal() {
    std::size_t length = 0;
    const char32_t character = decode_utf8(pattern_.substr(at_), length);
    one_character(character);
    copy(length);
  }

  // Explicit, itself or as an end of a range.
  void one_character(char32_t character) {
    if (properties_ && parts_stand_ins(from_.value_or(character), character))
      refuse("a range or character that not every version of Unicode knows");
    before_ = character;
    if (from_) end_of_range();
  }

  void escape() {
    const char c = peek();
    if (c == 'x' || c == 'u') return number();
    if (is_one_of(c, "sSpPdD")) {
      if (from_) refuse("a range that ends in a class");
      end_of_range();
      if (c == 'd' || c == 'D') return copy(2);
      return is_one_of(c, "sS") ? space(c == 'S') : property();
    }
    if (c == '\0') refuse("\\ at the end");
    if (std::isalnum(static_cast<unsigned char>(c)) && !is_one_of(c, "rntfv")) refuse(std::string{'\\', c});
    const std::size_t control = std::string_view("tnvfr").find(c);
    if (control == std::string_view::npos) {
      put(1, "\\");
      return literal();
    }
    one_character(char32_t('\t' + control));
    c == 'v' ? put(2, "\\x0B") : copy(2);  // PCRE2's \v is all vertical space
  }

  void space(bool negated) {
    if (in_class_) return put(2, negated ? kNoSpace : kSpace);
    put(2, cat(negated ? "[^" : "[", kSpace, "]"));
  }

  // By one or two letters a category, else a script.
  void property() {
    const std::string_view rest = pattern_.substr(at_ + 2);
    const std::size_t end = rest.find('}');
    if (!rest.starts_with('{') || end == std::string_view::npos) refuse("\\p without {...}");
    std::string_view name = rest.substr(1, end - 1);
    const bool caret = name.starts_with('^');
    name.remove_prefix(caret);
    const bool caseless = !caseless_.empty() && caseless_.back();
    if (caseless && (name == "Lu" || name == "Ll" || name == "Lt")) refuse("a case inside (?i:");
    const bool script = name.size() > 2;
    if (script && std::ranges::find(kScripts, name) == std::end(kScripts))
      refuse(cat("the property ", name.substr(0, 40)));
    put(3 + end, cat('\\', peek(), '{', caret ? "^" : "", script ? "sc:" : "", name, '}'));
  }

  // \xH, \xHH, \x{H...} or \uHHHH.
  void number() {
    const bool braces = peek() == 'x' && peek(2) == '{';
    const std::size_t first = braces ? 3 : 2;
    const std::size_t most = braces ? 6 : peek() == 'x' ? 2 : 4;
    std::size_t end = first;
    while (end < first + most && std::isxdigit(static_cast<unsigned char>(peek(end)))) ++end;
    if (end == first || (peek() == 'u' && end != first + 4)) refuse("\\u or \\x without hexadecimal digits");
    if (braces && peek(end) != '}') refuse("\\x{ without }");
    const std::string_view digits = pattern_.substr(at_ + first, end - first);
    std::uint32_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    one_character(value);
    put(end + braces, cat("\\x{", digits, "}"));
  }

  std::string_view pattern_, path_;
  std::string out_;
  std::size_t at_ = 0;
  bool properties_;
  bool in_class_ = false;
  bool class_empty_ = false;
  std::optional<char32_t> before_, from_;  // the character before, and the one that begins a range, in [...]
  std::vector<bool> caseless_;             // of the groups that are open
};

}  // namespace

bool uses_properties(std::string_view pattern) {
  constexpr std::string_view kProperties[] = {R"(\p)", R"(\P)", R"(\d)", R"(\D)"};
  return std::ranges::any_of(
      kProperties, [=](std::string_view name) { return pattern.find(name) != std::string_view::npos; });
}

std::string translate_pattern(std::string_view pattern, std::string_view path) {
  if (find_invalid_utf8(pattern) != pattern.size())
    throw input_error(path, ": the split pattern is not UTF-8");
  return Translator(pattern, path).run();
}

}  // namespace drover
