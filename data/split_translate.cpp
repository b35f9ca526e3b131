// From the pattern dialect of tokenizer.json to PCRE2's: see data/split.h for what is accepted and why.
#include <cctype>

#include "core/error.h"
#include "data/split.h"

namespace drover {
namespace {

constexpr std::string_view kSpace = R"(\t-\r\x{85}\p{Z})";

bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

class Translator {
 public:
  Translator(std::string_view pattern, std::string_view path) : pattern_(pattern), path_(path) {}

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

  void copy(std::size_t count = 1) {
    out_.append(pattern_.substr(at_, count));
    at_ += count;
  }

  void item() {
    const char c = pattern_[at_];
    if (c == '\\') return escape();
    if (c == '^') refuse("^");
    if (c == '$') refuse("$");
    if (c == '(' && peek() == '?') return group();
    if (c != '[') return copy();
    in_class_ = class_empty_ = true;
    copy(peek() == '^' ? 2 : 1);
  }

  void group() {
    const std::string_view rest = pattern_.substr(at_ + 2);
    if (!rest.starts_with(":") && !rest.starts_with("i:") && !rest.starts_with("=") &&
        !rest.starts_with("!")) {
      refuse("a group other than (?: (?i: (?= (?!");
    }
    copy(2);
  }

  void class_item() {
    const char c = pattern_[at_];
    if (c == '[') refuse("[ inside [...]");
    if (c == '&' && peek() == '&') refuse("&& inside [...]");
    if (c == ']') {
      if (class_empty_) refuse("] right after [");
      in_class_ = false;
      return copy();
    }
    class_empty_ = false;
    c == '\\' ? escape() : copy();
  }

  void escape() {
    class_empty_ = false;
    const char c = peek();
    if (c == 's' || c == 'S') return space(c == 'S');
    if (c == 'u') return unicode();
    if (std::isalnum(static_cast<unsigned char>(c)) && !is_one_of(c, "rntfvdDpPx"))
      refuse(std::string{'\\', c});
    if (c == '\0') refuse("\\ at the end");
    if (c == 'v') {  // vertical tab elsewhere, all vertical space in PCRE2
      at_ += 2;
      out_.append("\\x0B");
      return;
    }
    copy(2);
  }

  void space(bool negated) {
    if (in_class_ && negated) refuse("\\S inside [...]");
    if (in_class_ && out_.back() == '-' && !out_.ends_with("[-")) refuse("a range that ends in \\s");
    at_ += 2;
    if (in_class_) {
      out_.append(kSpace);
    } else {
      out_.append(negated ? "[^" : "[").append(kSpace).append("]");
    }
  }

  void unicode() {
    for (std::size_t digit = 2; digit < 6; ++digit) {
      if (!std::isxdigit(static_cast<unsigned char>(peek(digit))))
        refuse("\\u without four hexadecimal digits");
    }
    out_.append("\\x{").append(pattern_.substr(at_ + 2, 4)).append("}");
    at_ += 6;
  }

  std::string_view pattern_, path_;
  std::string out_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  bool class_empty_ = false;
};

}  // namespace

std::string translate_pattern(std::string_view pattern, std::string_view path) {
  return Translator(pattern, path).run();
}

}  // namespace drover
