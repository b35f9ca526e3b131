// The layouts that `drover verify` compares, as values and as text.
//
//   tp2.cp2.pp2.shard2.rep1:zb-h1:zero3:v2:n4
//
// Axes are joined by dots, what follows by colons; every part may be left out, in any order. Left out means:
// an axis of 1, the schedule 1f1b, the configuration's ZeRO policy, as many chunks (v) as the schedule needs
// (2 for interleaved and zb-v, else 1), and runs (n) as long as the pipeline.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/mesh/mesh.h"
#include "train/config.h"

namespace drover {

struct VerifyLayout {
  AxisValues axes{.tensor = 1, .context = 1, .pipeline = 1, .shard = 1, .replicate = 1};
  std::string schedule;  // of parallel.schedule; empty: 1f1b
  std::optional<int> zero, virtual_stages, stretch;

  int ranks() const { return Mesh(axes).ranks(); }
  bool operator==(const VerifyLayout&) const = default;
};

constexpr std::int64_t kMostVerifyRanks = 1 << 20;

// Error{usage} quotes the part that is not understood, or the layout of more than kMostVerifyRanks.
VerifyLayout parse_layout(std::string_view text);
// "tp2.pp2:zb-v,shard4:zero3": separated by commas, in order.
std::vector<VerifyLayout> parse_layouts(std::string_view text);
// The shortest text that parse_layout reads back: axes of 1 are left out, a single rank is "tp1".
std::string describe(const VerifyLayout& layout);

// Every layout of exactly so many ranks: all factorisations into five axes, times all schedules where
// pipeline > 1 (gpipe, 1f1b, interleaved of two chunks, zb-h1, zb-v), times all ZeRO policies where
// context x shard > 1.
std::vector<VerifyLayout> all_layouts(int ranks);

// The configuration with this layout in its section `parallel`.
Config with_layout(Config config, const VerifyLayout& layout);

}  // namespace drover
