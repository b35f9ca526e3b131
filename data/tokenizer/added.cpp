#include "data/tokenizer/added.h"

#include <algorithm>

namespace drover {

AddedMatcher::AddedMatcher(std::vector<AddedToken> tokens) : empty_(tokens.empty()) {
  std::ranges::stable_sort(tokens, std::ranges::greater(),
                           [](const AddedToken& token) { return token.content.size(); });
  for (AddedToken& token : tokens) {
    Bucket& bucket = by_first_byte_[static_cast<unsigned char>(token.content.front())];
    if (bucket.tokens.empty()) bucket.prefix = token.content;
    const auto differ = std::ranges::mismatch(bucket.prefix, token.content).in1;
    bucket.prefix.erase(differ, bucket.prefix.end());
    bucket.tokens.push_back(std::move(token));
  }
}

std::optional<AddedMatcher::Match> AddedMatcher::find(std::string_view text, std::size_t from) const {
  if (empty_) return std::nullopt;
  for (std::size_t at = from; at < text.size(); ++at) {
    const Bucket& bucket = by_first_byte_[static_cast<unsigned char>(text[at])];
    const std::string_view rest = text.substr(at);
    if (bucket.tokens.empty() || !rest.starts_with(bucket.prefix)) continue;
    for (const AddedToken& token : bucket.tokens) {
      if (rest.starts_with(token.content)) return Match{at, at + token.content.size(), &token};
    }
  }
  return std::nullopt;
}

}  // namespace drover
