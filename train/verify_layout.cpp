#include "train/verify_layout.h"

#include <algorithm>
#include <charconv>

#include "parallel/pipeline/schedule.h"

namespace drover {

namespace {

struct AxisWord {
  std::string_view word;
  Axis axis;
};
constexpr std::array kAxisWords{AxisWord{"tp", Axis::tensor}, AxisWord{"cp", Axis::context},
                                AxisWord{"pp", Axis::pipeline}, AxisWord{"shard", Axis::shard},
                                AxisWord{"rep", Axis::replicate}};
constexpr std::array<std::string_view, 5> kSchedules{"gpipe", "1f1b", "interleaved", "zb-h1", "zb-v"};
constexpr int kZeroPolicies = 3;

// Calls use(part) for what `separator` separates.
template <class Use>
void each_part(std::string_view text, char separator, Use use) {
  for (;;) {
    const std::size_t end = text.find(separator);
    use(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

// The number behind `word`: 4 of "shard4".
std::optional<int> number_behind(std::string_view word, std::string_view text) {
  if (!text.starts_with(word)) return std::nullopt;
  text.remove_prefix(word.size());
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && number >= 1 ? std::optional(number) : std::nullopt;
}

Error not_understood(std::string_view part) {
  return usage_error(
      "'", part,
      "' is no part of a layout; write tp2.cp2.pp2.shard2.rep2:SCHEDULE:zero3:v2:n4 with the parts "
      "you need, SCHEDULE one of gpipe, 1f1b, interleaved, zb-h1, zb-v");
}

bool take_axis(std::string_view part, VerifyLayout& layout) {
  for (const auto& [word, axis] : kAxisWords) {
    const std::optional<int> number = number_behind(word, part);
    if (!number) continue;
    layout.axes[axis] = *number;
    return true;
  }
  return false;
}

bool take_setting(std::string_view part, VerifyLayout& layout) {
  if (std::find(kSchedules.begin(), kSchedules.end(), part) != kSchedules.end()) {
    layout.schedule = part;
    return true;
  }
  for (auto [word, value] :
       {std::pair{"zero", &layout.zero}, {"v", &layout.virtual_stages}, {"n", &layout.stretch}}) {
    const std::optional<int> number = number_behind(word, part);
    if (!number) continue;
    *value = number;
    return true;
  }
  return false;
}

void require_possible(const VerifyLayout& layout, std::string_view text) {
  std::int64_t ranks = 1;
  for (const AxisWord& axis : kAxisWords)
    if (ranks *= layout.axes[axis.axis]; ranks > kMostVerifyRanks)  // before a product could leave int64
      throw usage_error("the layout '", text, "' has more than ", kMostVerifyRanks,
                        " ranks, the most that verify knows; lower an axis");
}

// All ways to write `ranks` as a product over the axes from number `axis` on.
void factorise(int ranks, std::size_t axis, AxisValues axes, std::vector<AxisValues>& found) {
  if (axis + 1 == kAxisWords.size()) {
    axes[kAxisWords[axis].axis] = ranks;
    found.push_back(axes);
    return;
  }
  for (int size = 1; size <= ranks; ++size) {
    if (ranks % size != 0) continue;
    axes[kAxisWords[axis].axis] = size;
    factorise(ranks / size, axis + 1, axes, found);
  }
}

}  // namespace

VerifyLayout parse_layout(std::string_view text) {
  VerifyLayout layout;
  each_part(text, ':', [&](std::string_view section) {
    if (take_setting(section, layout)) return;
    each_part(section, '.', [&](std::string_view part) {
      if (!take_axis(part, layout)) throw not_understood(part);
    });
  });
  if (layout.zero.value_or(1) > kZeroPolicies) throw not_understood(cat("zero", *layout.zero));
  require_possible(layout, text);
  return layout;
}

std::vector<VerifyLayout> parse_layouts(std::string_view text) {
  std::vector<VerifyLayout> layouts;
  each_part(text, ',', [&](std::string_view part) { layouts.push_back(parse_layout(part)); });
  return layouts;
}

std::string describe(const VerifyLayout& layout) {
  std::string text;
  for (const auto& [word, axis] : kAxisWords)
    if (layout.axes[axis] != 1) text += cat(text.empty() ? "" : ".", word, layout.axes[axis]);
  if (text.empty()) text = "tp1";
  if (!layout.schedule.empty()) text += cat(":", layout.schedule);
  if (layout.zero) text += cat(":zero", *layout.zero);
  if (layout.virtual_stages) text += cat(":v", *layout.virtual_stages);
  if (layout.stretch) text += cat(":n", *layout.stretch);
  return text;
}

std::vector<VerifyLayout> all_layouts(int ranks) {
  std::vector<AxisValues> factorisations;
  factorise(ranks, 0, {}, factorisations);
  std::vector<VerifyLayout> layouts;
  for (const AxisValues& axes : factorisations)
    for (const std::string_view schedule : kSchedules) {
      const bool pipelined = axes.pipeline > 1, sharded = axes.context * axes.shard > 1;
      for (int zero = 1; zero <= kZeroPolicies; ++zero) {
        VerifyLayout layout{.axes = axes};
        if (pipelined) layout.schedule = schedule;
        if (sharded) layout.zero = zero;
        layouts.push_back(layout);
        if (!sharded) break;
      }
      if (!pipelined) break;
    }
  return layouts;
}

Config with_layout(Config config, const VerifyLayout& layout) {
  ParallelConfig& p = config.parallel;
  p.tensor = layout.axes.tensor;
  p.context = layout.axes.context;
  p.pipeline = layout.axes.pipeline;
  p.shard = layout.axes.shard;
  p.replicate = layout.axes.replicate;
  p.schedule = layout.schedule.empty() ? "1f1b" : layout.schedule;
  p.zero = layout.zero.value_or(static_cast<int>(p.zero));
  p.virtual_stages = layout.virtual_stages.value_or(default_chunks(schedule_named(p.schedule)));
  p.stretch = layout.stretch;
  p.schedule_file.clear();
  return config;
}

}  // namespace drover
