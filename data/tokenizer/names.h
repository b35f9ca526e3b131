// The names that tokenizer.json gives to what a SplitRule does.
// Thread rules: pure functions.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "data/tokenizer/split_rule.h"

namespace drover {

inline constexpr std::array<std::string_view, 5> kSplitBehaviors = {
    "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};

inline std::string_view name_of(SplitBehavior behavior) { return kSplitBehaviors[std::size_t(behavior)]; }

inline std::optional<SplitBehavior> split_behavior_of(std::string_view name) {
  for (std::size_t at = 0; at < kSplitBehaviors.size(); ++at) {
    if (kSplitBehaviors[at] == name) return SplitBehavior(at);
  }
  return std::nullopt;
}

}  // namespace drover
