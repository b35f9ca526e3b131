// How many blocks each stage of a pipeline gets (parallel.stage_layers).
#pragma once

#include <string_view>
#include <vector>

namespace drover {

struct LayerSplit {
  int layers = 1;
  int stages = 1;   // of the whole model: ranks x chunks
  double head = 0;  // what the last stage's head and loss cost, in blocks
};

// Blocks of each stage, so that the dearest stage is as cheap as it can be. The embedding multiplies nothing, so it costs
// no time; it costs memory, and so do microbatches in flight, of which earlier stages have more. So where blocks are left
// over later stages get them, and the first stage, which has the most of both, is the last to get one. A stage without
// blocks is legal only where the embedding or the head is. Error{usage}: more stages than that allows.
std::vector<int> split_layers(const LayerSplit& split);

// "balanced": split_layers; otherwise the numbers themselves, "3,4,4,3" in the order of stages. Error{usage} names
// parallel.stage_layers.
std::vector<int> stage_layers(std::string_view text, const LayerSplit& split);

}  // namespace drover
