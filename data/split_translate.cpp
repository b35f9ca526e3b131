// From the pattern dialect of tokenizer.json to PCRE2's: see data/split.h for what is accepted and why.
#include <cctype>

#include "core/error.h"
#include "data/split.h"

namespace drover {
namespace {

constexpr std::string_view kSpace = R"(\t-\r\x{85}\p{Z})";

// Assigned in Unicode 15.0 to 16.0, which PCRE2 up to 10.42 does not know and the peers' libraries do:
// DerivedGeneralCategory.txt of 16.0 less that of 14.0.
constexpr std::string_view kNewLetters =
    R"(\x{1C89}\x{1C8A}\x{A7CB}-\x{A7CD}\x{A7DA}-\x{A7DC}\x{105C0}-\x{105F3}\x{10D4A}-\x{10D65})"
    R"(\x{10D6F}-\x{10D85}\x{10EC2}-\x{10EC4}\x{1123F}\x{11240}\x{11380}-\x{11389}\x{1138B}\x{1138E})"
    R"(\x{11390}-\x{113B5}\x{113B7}\x{113D1}\x{113D3}\x{11BC0}-\x{11BE0}\x{11F02}\x{11F04}-\x{11F10})"
    R"(\x{11F12}-\x{11F33}\x{1342F}\x{13441}-\x{13446}\x{13460}-\x{143FA}\x{16100}-\x{1611D})"
    R"(\x{16D40}-\x{16D6C}\x{18CFF}\x{1B132}\x{1B155}\x{1DF25}-\x{1DF2A}\x{1E030}-\x{1E06D})"
    R"(\x{1E4D0}-\x{1E4EB}\x{1E5D0}-\x{1E5ED}\x{1E5F0}\x{2B739}\x{2EBF0}-\x{2EE5D}\x{31350}-\x{323AF})";
constexpr std::string_view kNewNumbers =
    R"(\x{10D40}-\x{10D49}\x{116D0}-\x{116E3}\x{11BF0}-\x{11BF9}\x{11F50}-\x{11F59}\x{16130}-\x{16139})"
    R"(\x{16D70}-\x{16D79}\x{1CCF0}-\x{1CCF9}\x{1D2C0}-\x{1D2D3}\x{1E4F0}-\x{1E4F9}\x{1E5F1}-\x{1E5FA})";

bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

class Translator {
 public:
  Translator(std::string_view pattern, std::string_view path, UnicodeTables tables)
      : pattern_(pattern), path_(path), newer_(tables == UnicodeTables::newer) {}

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
    if (c == 'p' || c == 'P') return property(c == 'P');
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

  void property(bool negated) {
    const std::string_view rest = pattern_.substr(at_ + 2);
    const bool letters = rest.starts_with("{L}"), numbers = rest.starts_with("{N}");
    if (!letters && !numbers) return copy(2);
    if (in_class_ && negated) refuse("\\P{L} or \\P{N} inside [...]");
    if (!newer_) return copy(5);
    const std::string both = cat(R"(\p)", rest.substr(0, 3), letters ? kNewLetters : kNewNumbers);
    out_.append(in_class_ ? both : cat(negated ? "[^" : "[", both, "]"));
    at_ += 5;
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
  bool newer_;
  bool in_class_ = false;
  bool class_empty_ = false;
};

}  // namespace

std::string translate_pattern(std::string_view pattern, std::string_view path, UnicodeTables tables) {
  return Translator(pattern, path, tables).run();
}

// By the first two bytes of their UTF-8, so a few others count too: U+1C80..1CBF, U+A7C0..A7FF, and all that lies
// above U+FFFF but the pictographs of U+1Fxxx.
bool has_newer_characters(std::string_view text) {
  for (std::size_t at = 0; at + 2 < text.size(); ++at) {
    const auto lead = static_cast<unsigned char>(text[at]), next = static_cast<unsigned char>(text[at + 1]);
    if (lead < 0xE1) continue;
    if ((lead == 0xE1 && next == 0xB2) || (lead == 0xEA && next == 0x9F)) return true;
    if (lead == 0xF0 && next != 0x9F) return true;
  }
  return false;
}

}  // namespace drover
