#include "core/config/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace drover {

namespace {

struct Suffix {
  std::string_view name;
  double factor;
};

constexpr std::array kTokenSuffixes{Suffix{"K", 1e3}, Suffix{"M", 1e6}, Suffix{"B", 1e9}, Suffix{"T", 1e12}};
constexpr std::array kByteSuffixes{Suffix{"KiB", 0x1p10}, Suffix{"MiB", 0x1p20}, Suffix{"GiB", 0x1p30},
                                   Suffix{"TiB", 0x1p40}};
// The largest first: a duration is written in the largest unit it is a whole number of.
constexpr std::array kTimeSuffixes{Suffix{"d", 86400}, Suffix{"h", 3600}, Suffix{"min", 60}, Suffix{"s", 1}};

// The factor of the suffix the text ends in, which is taken off; 1 if there is none.
double take_suffix(std::string_view& text, std::span<const Suffix> suffixes) {
  for (const Suffix& suffix : suffixes) {
    if (!text.ends_with(suffix.name)) continue;
    text.remove_suffix(suffix.name.size());
    return suffix.factor;
  }
  return 1;
}

std::span<const Suffix> suffixes_of(Unit unit) {
  if (unit == Unit::tokens) return kTokenSuffixes;
  if (unit == Unit::bytes) return kByteSuffixes;
  return {};
}

template <class Number>
std::optional<Number> parse_whole(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Words that some YAML reader takes for something else than text.
bool is_special_word(const std::string& value) {
  constexpr std::array words{"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
  const auto same = [&](std::string_view word) {
    return value.size() == word.size() && std::equal(word.begin(), word.end(), value.begin(),
                                                     [](char a, char b) { return a == (b | 0x20); });
  };
  return std::any_of(words.begin(), words.end(), same);
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Whether no YAML reader takes the bare value for a number, a date, a word of its own, or syntax.
bool is_plain(const std::string& value) {
  const auto allowed = [](char c) {
    return is_letter(c) || is_digit(c) || c == '_' || c == '.' || c == '/' || c == '-';
  };
  if (!std::all_of(value.begin(), value.end(), allowed) || is_special_word(value)) return false;
  if (is_digit(value.front()))  // 1f1b, but not 0x1f, 1e5, 2026-01-01
    return value.front() != '0' && !parse_real(value) && std::any_of(value.begin(), value.end(), is_letter);
  return is_letter(value.front()) || value.front() == '/' || value.front() == '_';
}

std::string quote(const std::string& value) {
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      quoted += c;
      continue;
    }
    constexpr std::string_view hex = "0123456789abcdef";
    quoted += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
  }
  return quoted + '"';
}

std::string to_text(double value, std::chars_format format) {
  std::array<char, 400> digits{};
  const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value, format);
  return {digits.data(), result.ptr};
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text, Unit unit) {
  if (const auto value = parse_whole<std::int64_t>(text)) return value;
  if (unit == Unit::none) return std::nullopt;
  const double factor = take_suffix(text, suffixes_of(unit));
  // In long double, so that 1.1B is 1100000000 and not a little less.
  const auto number = parse_whole<long double>(text);
  if (!number || !std::isfinite(*number)) return std::nullopt;
  const long double value = *number * factor, whole = std::round(value);
  if (std::fabs(value - whole) > 1e-6L || std::fabs(whole) >= 0x1p62L) return std::nullopt;
  return static_cast<std::int64_t>(whole);
}

std::optional<double> parse_real(std::string_view text) {
  const auto value = parse_whole<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::optional<Seconds> parse_duration(std::string_view text) {
  const std::size_t length = text.size();
  const double factor = take_suffix(text, kTimeSuffixes);
  const auto number = parse_real(text);
  if (text.size() == length || !number || !(*number > 0) || !std::isfinite(*number * factor))
    return std::nullopt;
  return Seconds(*number * factor);
}

std::optional<Interval> parse_interval(std::string_view text) {
  if (const auto steps = parse_whole<std::int64_t>(text))
    return *steps > 0 ? std::optional(Interval{.steps = *steps}) : std::nullopt;
  const auto duration = parse_duration(text);
  return duration ? std::optional(Interval{.seconds = duration->count()}) : std::nullopt;
}

std::string format_value(std::int64_t value) { return std::to_string(value); }

std::string format_value(double value) {
  const double size = std::fabs(value);
  if (value == 0 || (size >= 1e-3 && size < 1e15)) {
    const std::string text = to_text(value, std::chars_format::fixed);
    return text.find('.') == std::string::npos ? text + ".0" : text;
  }
  // As YAML 1.1 wants it: with a point, and the exponent with a sign.
  std::string text = to_text(value, std::chars_format::scientific);
  const std::size_t e = text.find('e');
  if (text[e + 2] == '0') text.erase(e + 2, 1);
  return text.find('.') == std::string::npos ? text.insert(e, ".0") : text;
}

std::string format_value(bool value) { return value ? "true" : "false"; }

std::string format_value(const std::optional<std::int64_t>& value) {
  return value ? format_value(*value) : "null";
}

std::string format_value(const std::array<double, 2>& value) {
  return "[" + format_value(value[0]) + ", " + format_value(value[1]) + "]";
}

std::string format_value(const Interval& value) {
  return value.seconds == 0 ? format_value(value.steps) : format_value(Seconds(value.seconds));
}

std::string format_value(const Seconds& value) {
  for (const Suffix& suffix : kTimeSuffixes) {
    const double count = value.count() / suffix.factor;
    if (std::round(count) == count && count < 1e15 && count * suffix.factor == value.count())
      return format_value(static_cast<std::int64_t>(count)) + std::string(suffix.name);
  }
  return format_value(value.count()) + "s";
}

std::string format_bound(double value) {
  return std::round(value) == value && std::fabs(value) < 1e15
             ? format_value(static_cast<std::int64_t>(value))
             : format_value(value);
}

std::string format_value(const std::string& value) {
  if (value.empty()) return "null";
  return is_plain(value) ? value : quote(value);
}

}  // namespace drover
