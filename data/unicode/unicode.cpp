#include "data/unicode/unicode.h"

#include <cstring>

namespace drover {
namespace {

using Byte = unsigned char;

// Length of the well-formed character at `text`, or minus the length of the maximal ill-formed subsequence
// there.
int character(const Byte* text, std::size_t left) {
  const Byte lead = text[0];
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return -1;
  const int length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // Only the second byte has a narrower range than 80..BF.
  Byte low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (int i = 1; i < length; ++i) {
    if (std::size_t(i) >= left || text[i] < low || text[i] > high) return -i;
    low = 0x80, high = 0xBF;
  }
  return length;
}

bool ascii8(const char* text) {
  std::uint64_t word;
  std::memcpy(&word, text, 8);
  return (word & 0x8080808080808080u) == 0;
}

struct Alphabet {
  std::array<std::uint16_t, 256> of_byte;
  std::array<std::int16_t, 512> to_byte;
};

constexpr Alphabet make_alphabet() {
  Alphabet table{};
  for (auto& byte : table.to_byte) byte = -1;
  std::uint16_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    const std::uint16_t character = printable ? std::uint16_t(byte) : next++;
    table.of_byte[byte] = character;
    table.to_byte[character] = std::int16_t(byte);
  }
  return table;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

std::size_t find_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (at + 8 <= text.size() && ascii8(text.data() + at)) {
      at += 8;
      continue;
    }
    const int length = character(reinterpret_cast<const Byte*>(text.data()) + at, text.size() - at);
    if (length < 0) return at;
    at += std::size_t(length);
  }
  return at;
}

std::int64_t replace_invalid_utf8(std::string_view text, std::string& out) {
  out.clear();
  std::int64_t replaced = 0;
  while (!text.empty()) {
    const std::size_t good = find_invalid_utf8(text);
    out.append(text.substr(0, good));
    text.remove_prefix(good);
    if (text.empty()) break;
    text.remove_prefix(std::size_t(-character(reinterpret_cast<const Byte*>(text.data()), text.size())));
    out.append("\xEF\xBF\xBD");
    ++replaced;
  }
  return replaced;
}

char32_t decode_utf8(std::string_view text, std::size_t& length) {
  const auto byte = [&](std::size_t at) { return char32_t(Byte(text[at])); };
  const char32_t lead = byte(0);
  length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t character = length == 1 ? lead : lead & (0x7F >> length);
  for (std::size_t at = 1; at < length; ++at) character = character << 6 | (byte(at) & 0x3F);
  return character;
}

char32_t last_character(std::string_view text) {
  std::size_t at = text.size() - 1, length = 0;
  while ((Byte(text[at]) & 0xC0) == 0x80) --at;
  return decode_utf8(text.substr(at), length);
}

void append_utf8(char32_t character, std::string& out) {
  const int more = character < 0x80 ? 0 : character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
  const char32_t mark = more == 0 ? 0 : 0xFF00 >> (more + 1) & 0xFF;
  out.push_back(char(mark | character >> (6 * more)));
  for (int left = more - 1; left >= 0; --left) out.push_back(char(0x80 | (character >> (6 * left) & 0x3F)));
}

bool is_white_space(char32_t c) {
  if (c < 0x1680) return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0;
  return c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::string bytes_to_alphabet(std::string_view bytes) {
  std::string spelled;
  spelled.reserve(bytes.size() + bytes.size() / 4);
  for (const char byte : bytes) append_utf8(kAlphabet.of_byte[Byte(byte)], spelled);
  return spelled;
}

std::optional<std::string> alphabet_to_bytes(std::string_view spelled) {
  std::string bytes;
  for (std::size_t at = 0; at < spelled.size(); ++at) {
    unsigned character = Byte(spelled[at]);
    if (character >= 0x80) {
      // All of the alphabet beyond ASCII lies in the two-byte forms C2..C5.
      if (character < 0xC2 || character > 0xC5 || at + 1 >= spelled.size()) return std::nullopt;
      const unsigned second = Byte(spelled[++at]);
      if ((second & 0xC0) != 0x80) return std::nullopt;
      character = (character & 0x1F) << 6 | (second & 0x3F);
    }
    if (kAlphabet.to_byte[character] < 0) return std::nullopt;
    bytes.push_back(char(kAlphabet.to_byte[character]));
  }
  return bytes;
}

std::array<std::uint8_t, 256> bytes_in_alphabet_order() {
  std::array<std::uint8_t, 256> order{};
  std::size_t next = 0;
  for (const std::int16_t byte : kAlphabet.to_byte) {
    if (byte >= 0) order[next++] = std::uint8_t(byte);
  }
  return order;
}

}  // namespace drover
