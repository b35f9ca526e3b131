#include "data/unicode.h"

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

std::string bytes_to_alphabet(std::string_view bytes) {
  std::string spelled;
  spelled.reserve(bytes.size() + bytes.size() / 4);
  for (const char byte : bytes) {
    const std::uint16_t character = kAlphabet.of_byte[Byte(byte)];
    if (character < 0x80) {
      spelled.push_back(char(character));
    } else {
      spelled.push_back(char(0xC0 | (character >> 6)));
      spelled.push_back(char(0x80 | (character & 0x3F)));
    }
  }
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
