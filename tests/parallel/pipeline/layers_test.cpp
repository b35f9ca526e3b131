#include "parallel/pipeline/layers.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "tests/support/test_support.h"

using namespace drover;

namespace {

std::string refusal(std::string_view text, const LayerSplit& split) {
  try {
    stage_layers(text, split);
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::usage);
    return error.what();
  }
  return "not refused";
}

double dearest(const std::vector<int>& blocks, const LayerSplit& split) {
  std::vector<double> costs(blocks.begin(), blocks.end());
  costs.back() += split.head;
  return *std::max_element(costs.begin(), costs.end());
}

// The least cost of the dearest stage over all splits, by trying them.
double least_dearest(std::vector<int>& blocks, std::size_t stage, int left, const LayerSplit& split) {
  if (stage + 1 == blocks.size()) {
    blocks[stage] = left;
    return dearest(blocks, split);
  }
  double least = 1e9;
  for (blocks[stage] = stage == 0 ? 0 : 1; blocks[stage] <= left; ++blocks[stage]) {
    const int mine = blocks[stage];
    least = std::min(least, least_dearest(blocks, stage + 1, left - mine, split));
    blocks[stage] = mine;
  }
  return least;
}

}  // namespace

TEST_CASE("Llama 3 405B: 126 blocks on 16 x 8 stages are one a stage and none at both ends") {
  std::vector<int> expected(128, 1);
  expected.front() = expected.back() = 0;
  CHECK(split_layers({.layers = 126, .stages = 128, .head = 0.7}) == expected);
}

TEST_CASE("blocks left over go to later stages; a dear head takes some from the last") {
  CHECK(split_layers({.layers = 8, .stages = 4}) == std::vector<int>{2, 2, 2, 2});
  CHECK(split_layers({.layers = 10, .stages = 4}) == std::vector<int>{2, 2, 3, 3});
  CHECK(split_layers({.layers = 16, .stages = 4, .head = 2.5}) == std::vector<int>{4, 5, 5, 2});
  CHECK(split_layers({.layers = 5, .stages = 1, .head = 9}) == std::vector<int>{5});
  CHECK(split_layers({.layers = 1, .stages = 3}) == std::vector<int>{0, 1, 0});
}

TEST_CASE("no split has a cheaper dearest stage") {
  for (int layers = 3; layers <= 9; ++layers)
    for (int stages = 2; stages <= 4; ++stages)
      for (double head : {0.0, 0.4, 0.7, 1.0, 2.5}) {
        const LayerSplit split{.layers = layers, .stages = stages, .head = head};
        const std::vector<int> blocks = split_layers(split);
        std::vector<int> tried(static_cast<std::size_t>(stages), 0);
        CHECK(std::accumulate(blocks.begin(), blocks.end(), 0) == layers);
        CHECK(dearest(blocks, split) == Approx(least_dearest(tried, 0, layers, split)));
      }
}

TEST_CASE("parallel.stage_layers is balanced, or the numbers in the order of stages") {
  const LayerSplit split{.layers = 14, .stages = 4};
  CHECK(stage_layers("balanced", split) == split_layers(split));
  CHECK(stage_layers("3, 4,4 ,3", split) == std::vector<int>{3, 4, 4, 3});
  CHECK(stage_layers("0,7,7,0", split) == std::vector<int>{0, 7, 7, 0});
}

TEST_CASE("splits that do not fit are refused with what would") {
  const LayerSplit split{.layers = 14, .stages = 4};
  CHECK(
      refusal("7,7", split) ==
      "parallel.stage_layers has 2 numbers, and parallel.pipeline x parallel.virtual_stages makes 4 stages; "
      "balanced would be 3,3,4,4");
  CHECK(refusal("3,4,4,4", split)
            .starts_with("parallel.stage_layers '3,4,4,4' are 15 blocks, and the model has 14"));
  CHECK(
      refusal("7,0,0,7", split).starts_with("parallel.stage_layers '7,0,0,7' leaves stage 1 without blocks"));
  for (const char* text : {"", "3,,4", "3,4,4,x", "-3,4", "equal", "3.5,3.5", "99999999999"})
    CHECK(refusal(text, split).starts_with("parallel.stage_layers is '"));
  CHECK(refusal("balanced", {.layers = 2, .stages = 8}) ==
        "parallel.pipeline x parallel.virtual_stages makes 8 stages, and the model has 2 blocks "
        "(model.num_hidden_layers); use at most 4 stages");
}
