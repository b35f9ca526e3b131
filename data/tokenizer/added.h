// Finds added tokens by their text.
// Thread rules: immutable.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace drover {

class AddedMatcher {
 public:
  struct Match {
    std::size_t begin, end;
    const AddedToken* token;  // lives as long as the matcher
  };

  // Of tokens with the same text only the first is found.
  explicit AddedMatcher(std::vector<AddedToken> tokens);

  // The leftmost added token in text[from, end), the longest of those that begin there, whatever stands beside it.
  std::optional<Match> find(std::string_view text, std::size_t from) const;

 private:
  struct Bucket {
    std::vector<AddedToken> tokens;  // longest first
    std::string prefix;              // common to all; tested first, since special tokens all start with "<|"
  };
  bool empty_;
  std::array<Bucket, 256> by_first_byte_;
};

}  // namespace drover
