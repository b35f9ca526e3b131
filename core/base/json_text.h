// What must be known of a JSON text from outside before a library builds a tree of it. Pure functions.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace drover {

// More than any file that Drover reads needs.
inline constexpr int kMaxJsonLevels = 32;

// Whether brackets and braces, those in strings left out, nest deeper than `levels`. A tree is copied, compared and
// printed by recursion, one call of the machine's stack a level. Of a text that is no JSON the answer means nothing.
inline bool json_is_deeper_than(std::string_view text, int levels = kMaxJsonLevels) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size() && depth <= levels; ++i) {
    const char c = text[i];
    if (c == '"') in_string = !in_string;
    if (in_string) {
      i += c == '\\';
      continue;
    }
    depth += (c == '[' || c == '{') - (c == ']' || c == '}');
  }
  return depth > levels;
}

// ":3:14", line and column of a byte, counted from 1.
inline std::string place_in(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, byte);
  const std::size_t line_start = before.rfind('\n') + 1;  // 0 on the first line
  return cat(':', 1 + std::count(before.begin(), before.end(), '\n'), ':', before.size() - line_start + 1);
}

}  // namespace drover
