// Text from outside on its way to a person: it must not move the cursor, nor ring. Pure functions.
#pragma once

#include <algorithm>
#include <string>

namespace drover {

// Of ASCII; line feeds and tabs too.
inline bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// With `instead` in the place of every control character.
inline std::string printable(std::string text, char instead) {
  std::replace_if(text.begin(), text.end(), is_control, instead);
  return text;
}

// The same, but its lines stay.
inline std::string printable_lines(std::string text, char instead) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return is_control(c) && c != '\n'; }, instead);
  return text;
}

}  // namespace drover
