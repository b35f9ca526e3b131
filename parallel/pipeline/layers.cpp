#include "parallel/pipeline/layers.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <string>

#include "core/base/error.h"
#include "core/base/words.h"

namespace drover {

namespace {

// The first and the last stage have something to do without blocks.
bool may_be_empty(const LayerSplit& split, std::size_t stage) {
  return split.stages > 1 && (stage == 0 || stage + 1 == static_cast<std::size_t>(split.stages));
}

double extra_of(const LayerSplit& split, std::size_t stage) {
  return stage + 1 == static_cast<std::size_t>(split.stages) ? split.head : 0;
}

std::string joined(const std::vector<int>& numbers) {
  std::string text;
  for (int number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

int number(std::string_view word, std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value < 0)
    throw usage_error("parallel.stage_layers is '", text,
                      "'; use balanced, or numbers of blocks as in 3,4,4,3 ('", word, "' is none)");
  return value;
}

std::vector<int> numbers(std::string_view text) {
  std::vector<int> found;
  for (std::string_view rest = text;;) {
    const bool last = rest.find(',') == std::string_view::npos;
    found.push_back(number(trimmed(take_until(rest, ',')), text));
    if (last) return found;
  }
}

}  // namespace

std::vector<int> split_layers(const LayerSplit& split) {
  const auto stages = static_cast<std::size_t>(split.stages);
  std::vector<int> blocks(stages);
  for (std::size_t stage = 0; stage < stages; ++stage) blocks[stage] = may_be_empty(split, stage) ? 0 : 1;
  const int placed = std::accumulate(blocks.begin(), blocks.end(), 0);
  if (placed > split.layers)
    throw usage_error("parallel.pipeline x parallel.virtual_stages makes ", split.stages,
                      " stages, and the model has ", split.layers,
                      " blocks (model.num_hidden_layers); use at most ", split.layers + 2, " stages");
  for (int block = placed; block < split.layers; ++block) {
    std::size_t cheapest = 0;
    for (std::size_t stage = 1; stage < stages; ++stage)
      if (blocks[stage] + extra_of(split, stage) <= blocks[cheapest] + extra_of(split, cheapest))
        cheapest = stage;
    ++blocks[cheapest];
  }
  return blocks;
}

std::vector<int> stage_layers(std::string_view text, const LayerSplit& split) {
  if (text == "balanced") return split_layers(split);
  std::vector<int> given = numbers(text);
  const auto total = std::accumulate(given.begin(), given.end(), std::int64_t{0});
  const auto advise = [&] { return joined(split_layers(split)); };
  if (given.size() != static_cast<std::size_t>(split.stages))
    throw usage_error("parallel.stage_layers has ", given.size(), " numbers, and parallel.pipeline x ",
                      "parallel.virtual_stages makes ", split.stages, " stages; balanced would be ",
                      advise());
  if (total != split.layers)
    throw usage_error("parallel.stage_layers '", text, "' are ", total, " blocks, and the model has ",
                      split.layers, " (model.num_hidden_layers); balanced would be ", advise());
  for (std::size_t stage = 0; stage < given.size(); ++stage)
    if (given[stage] == 0 && !may_be_empty(split, stage))
      throw usage_error("parallel.stage_layers '", text, "' leaves stage ", stage,
                        " without blocks, which only the first and the last may be; balanced would be ",
                        advise());
  return given;
}

}  // namespace drover
