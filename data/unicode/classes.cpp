#include "data/unicode/classes.h"

#include <algorithm>
#include <utility>

#include "data/unicode/tables.h"
#include "data/unicode/unicode.h"

namespace drover {
namespace {

// 0: none.
char32_t stand_in_of(char32_t character) {
  const auto table = stand_in_table();
  const auto after = std::ranges::upper_bound(table, character, {}, &StandIn::first);
  if (after == table.begin()) return 0;
  const StandIn& row = *(after - 1);
  return character <= row.last ? row.character : 0;
}

// All in the table have three bytes or more.
std::size_t next_long_character(std::string_view text, std::size_t at) {
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0xE0) ++at;
  return at;
}

}  // namespace

StandIns::StandIns() {
  for (const StandIn& row : stand_in_table()) {
    for (char32_t block = row.first >> 6; block <= row.last >> 6; ++block)
      blocks_[block >> 6] |= std::uint64_t(1) << (block & 63);
  }
}

bool StandIns::put(std::string_view text, std::string& out) const {
  bool any = false;
  std::size_t length = 0;
  for (std::size_t at = next_long_character(text, 0); at < text.size();
       at = next_long_character(text, at + length)) {
    const char32_t character = decode_utf8(text.substr(at), length);
    if (!may_have(character)) continue;
    const char32_t other = stand_in_of(character);
    if (other == 0) continue;
    if (!std::exchange(any, true)) out.assign(text);
    std::string bytes;
    append_utf8(other, bytes);
    out.replace(at, length, bytes);
  }
  return any;
}

bool parts_stand_ins(char32_t first, char32_t last) {
  const auto held = [=](char32_t character) { return first <= character && character <= last; };
  return std::ranges::any_of(stand_in_table(), [&](const StandIn& row) {
    if (held(row.character)) return !held(row.first) || !held(row.last);
    return first <= row.last && row.first <= last;
  });
}

}  // namespace drover
