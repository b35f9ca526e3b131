// Unicode's normalization form C, as `tokenizers` has it: characters newer than its tables are left alone.
// Thread rules: immutable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/unicode/tables.h"

namespace drover {

class Nfc {
 public:
  Nfc();

  // Overwrites `out` with the normal form of `text`, which is valid UTF-8. False: `text` is in it, and `out` is
  // as it was.
  bool normalize(std::string_view text, std::string& out) const;

 private:
  struct Letter {
    char32_t character;
    std::uint8_t combining;
  };

  // Such a character may change or be changed by what stands before it; any other begins anew.
  bool reaches_back(char32_t character) const;
  void mark(char32_t first, char32_t last);
  void normalize_cluster(std::string_view cluster, std::string& out) const;
  void compose(std::vector<Letter>& letters) const;  // decomposed and in order
  void decompose(char32_t character, std::vector<Letter>& out) const;
  char32_t composed(char32_t first, char32_t second) const;  // 0: none
  std::uint8_t combining(char32_t character) const;

  std::vector<std::uint64_t> reaches_back_;    // bits
  std::vector<Decomposition> compositions_;    // by `first`, then `second`
  std::vector<Decomposition> decompositions_;  // by `composed`, in one step
};

}  // namespace drover
