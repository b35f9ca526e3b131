#include "parallel/pipeline/schedule.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <utility>

#include "core/base/error.h"

namespace drover {

namespace {

constexpr std::array<std::pair<Schedule, std::string_view>, 6> kNames = {{
    {Schedule::gpipe, "gpipe"},
    {Schedule::one_f_one_b, "1f1b"},
    {Schedule::interleaved, "interleaved"},
    {Schedule::zb_h1, "zb-h1"},
    {Schedule::zb_v, "zb-v"},
    {Schedule::csv, "csv"},
}};

}  // namespace

char letter(ActionKind kind) {
  constexpr std::string_view kLetters = "FBIW";
  return kLetters[static_cast<std::size_t>(kind)];
}

std::string describe(const Action& action) {
  return cat(action.chunk, letter(action.kind), action.microbatch);
}

std::string describe(const Timeline& timeline) {
  std::string text;
  for (const Action& action : timeline) text += (text.empty() ? "" : " ") + describe(action);
  return text;
}

Placement Placement::round_robin(int ranks, int chunks) {
  std::vector<StagePlace> places;
  for (int stage = 0; stage < ranks * chunks; ++stage)
    places.push_back({.rank = stage % ranks, .chunk = stage / ranks});
  return Placement(std::move(places));
}

Placement Placement::v_shaped(int ranks) {
  std::vector<StagePlace> places;
  for (int rank = 0; rank < ranks; ++rank) places.push_back({.rank = rank, .chunk = 0});
  for (int rank = ranks - 1; rank >= 0; --rank) places.push_back({.rank = rank, .chunk = 1});
  return Placement(std::move(places));
}

Placement::Placement(std::vector<StagePlace> places) : places_(std::move(places)) {
  for (const StagePlace& place : places_) {
    ranks_ = std::max(ranks_, place.rank + 1);
    chunks_ = std::max(chunks_, place.chunk + 1);
  }
  stages_.assign(places_.size(), -1);
  for (std::size_t stage = 0; stage < places_.size(); ++stage) {
    const auto index = static_cast<std::size_t>(places_[stage].rank * chunks_ + places_[stage].chunk);
    DROVER_CHECK(index < stages_.size() && stages_[index] == -1, "stage ", stage, " of ", places_.size());
    stages_[index] = static_cast<int>(stage);
  }
}

Schedule schedule_named(std::string_view name) {
  for (const auto& [schedule, known] : kNames)
    if (known == name) return schedule;
  throw usage_error("parallel.schedule is '", name,
                    "'; use gpipe, 1f1b, interleaved, zb-h1, zb-v, or csv with parallel.schedule_file");
}

std::string_view name_of(Schedule schedule) {
  for (const auto& [known, name] : kNames)
    if (known == schedule) return name;
  return "gpipe with split backward";
}

int default_chunks(Schedule schedule) {
  return schedule == Schedule::interleaved || schedule == Schedule::zb_v ? 2 : 1;
}

PipelineSchedule forward_of(const PipelineSchedule& schedule) {
  PipelineSchedule forward = schedule;
  for (Timeline& timeline : forward.timelines)
    std::erase_if(timeline, [](const Action& action) { return action.kind != ActionKind::forward; });
  return forward;
}

SlotCount count_slots(const Timeline& timeline, int chunk) {
  SlotCount most, now;
  for (const Action& action : timeline) {
    if (action.chunk != chunk) continue;
    if (action.kind == ActionKind::forward) ++now.saved;
    if (action.kind == ActionKind::backward_input) ++now.weight;
    most.saved = std::max(most.saved, now.saved);
    most.weight = std::max(most.weight, now.weight);
    if (action.makes_weight_gradient()) --now.saved;
    if (action.kind == ActionKind::backward_weight) --now.weight;
  }
  return most;
}

std::vector<std::uint8_t> stretch_ends(const Timeline& timeline, int stretch) {
  struct OpenRun {
    std::size_t newest = 0;
    int length = 0;
  };
  std::array<OpenRun, kStretchKinds> open;
  std::vector<std::uint8_t> ends(timeline.size(), 0);
  for (std::size_t i = 0; i < timeline.size(); ++i) {
    auto& [newest, length] = open[static_cast<std::size_t>(timeline[i].stretch_kind())];
    if (length > 0 && (length == stretch || timeline[i].chunk != timeline[newest].chunk)) {
      ends[newest] = 1;
      length = 0;
    }
    newest = i;
    ++length;
  }
  for (const auto& [newest, length] : open)
    if (length > 0) ends[newest] = 1;
  return ends;
}

int weight_stretches(const Timeline& timeline, int stretch, int chunk) {
  const std::vector<std::uint8_t> ends = stretch_ends(timeline, stretch);
  int stretches = 0;
  for (std::size_t i = 0; i < timeline.size(); ++i)
    if (ends[i] != 0 && timeline[i].makes_weight_gradient() && timeline[i].chunk == chunk) ++stretches;
  return stretches;
}

int longest_stretch(const Timeline& timeline, int stretch) {
  const std::vector<std::uint8_t> ends = stretch_ends(timeline, stretch);
  int longest = 0, length = 0;
  for (std::size_t i = 0; i < timeline.size(); ++i) {
    if (!timeline[i].makes_weight_gradient()) continue;
    longest = std::max(longest, ++length);
    if (ends[i] != 0) length = 0;
  }
  return longest;
}

std::int64_t most_gathered(const Timeline& timeline, int stretch, const WeightUse& use) {
  const std::vector<std::uint8_t> ends = stretch_ends(timeline, stretch);
  std::vector<std::bitset<kStretchKinds>> held(
      use.blocks.size());  // by chunk: the stretches that hold its weights
  std::int64_t most = 0;
  for (std::size_t i = 0; i < timeline.size(); ++i) {
    const auto chunk = static_cast<std::size_t>(timeline[i].chunk),
               kind = static_cast<std::size_t>(timeline[i].stretch_kind());
    const bool uses = timeline[i].kind != ActionKind::backward_weight || use.by_backward_weight;
    const bool whole_before = held[chunk].any();
    if (uses || ends[i] != 0) held[chunk].set(kind, ends[i] == 0);
    std::int64_t gathered = 0;
    for (std::size_t other = 0; other < held.size(); ++other)
      if (held[other].any() || (other == chunk && whole_before)) gathered += use.blocks[other];
    if (uses && !whole_before && held[chunk].none()) gathered += std::min<std::int64_t>(2, use.blocks[chunk]);
    most = std::max(most, gathered);
  }
  return most;
}

}  // namespace drover
