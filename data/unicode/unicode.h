// UTF-8 checking and repair, and GPT-2's printable alphabet for bytes.
// Thread rules: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drover {

// Offset of the first byte that does not begin or continue well-formed UTF-8 (Unicode 15, table 3-7: no
// surrogates, no overlong forms, nothing above U+10FFFF); text.size() if all is well.
std::size_t find_invalid_utf8(std::string_view text);

// Overwrites `out` with `text` in which each maximal ill-formed subsequence is one U+FFFD (Unicode 15,
// section 3.9, what WHATWG and Python's errors="replace" do). Returns how many.
std::int64_t replace_invalid_utf8(std::string_view text, std::string& out);

// The character that valid UTF-8 begins with, and its bytes.
char32_t decode_utf8(std::string_view text, std::size_t& length);
char32_t last_character(std::string_view text);  // `text` is valid and not empty
void append_utf8(char32_t character, std::string& out);

// White_Space of Unicode.
bool is_white_space(char32_t character);

// GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the other 68 for U+0100 upwards, in order
// of the byte. tokenizer.json spells tokens in it.
std::string bytes_to_alphabet(std::string_view bytes);
std::optional<std::string> alphabet_to_bytes(
    std::string_view spelled);  // none: a character outside the alphabet

// The 256 bytes ordered by their character in the alphabet: '!' first, 0xAD last.
std::array<std::uint8_t, 256> bytes_in_alphabet_order();

}  // namespace drover
