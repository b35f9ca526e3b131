#include "data/tokenizer/space_marks.h"

#include <algorithm>

namespace drover {

void mark_spaces(std::string_view text, bool before, std::string& out) {
  out.assign(before ? kSpaceMark : std::string_view());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t space = std::min(text.find(' ', at), text.size());
    out.append(text.substr(at, space - at));
    if (space < text.size()) out.append(kSpaceMark);
    at = space + 1;
  }
}

std::string unmark_spaces(std::string_view text) {
  std::string plain;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t mark = std::min(text.find(kSpaceMark, at), text.size());
    plain.append(text.substr(at, mark - at));
    if (mark < text.size()) plain.push_back(' ');
    at = mark + kSpaceMark.size();
  }
  return plain;
}

}  // namespace drover
