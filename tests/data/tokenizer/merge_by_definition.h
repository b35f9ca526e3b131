// BPE's definition, word for word and slow.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace drover {

// The tokens of one piece: the leftmost pair of the lowest rank merges, until none is left.
inline std::vector<std::string> merge_by_definition(const TokenizerSpec& spec,
                                                    std::vector<std::string> parts) {
  constexpr std::int32_t kNoRank = std::numeric_limits<std::int32_t>::max();
  while (true) {
    std::size_t best = 0;
    std::int32_t best_rank = kNoRank;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      for (const Merge& merge : spec.merges) {
        const bool fits = spec.tokens[std::size_t(merge.left)] == parts[i] &&
                          spec.tokens[std::size_t(merge.right)] == parts[i + 1];
        if (fits && merge.rank < best_rank) best = i, best_rank = merge.rank;
      }
    }
    if (best_rank == kNoRank) return parts;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + std::ptrdiff_t(best) + 1);
  }
}

}  // namespace drover
