// How many blocks each stage of a pipeline gets (parallel.stage_layers).
#pragma once

#include <string_view>
#include <vector>

namespace drover {

struct LayerSplit {
  int layers = 1;
  int stages = 1;  // of the whole model: ranks x chunks
  // What the first stage's embedding and the last one's head and loss cost, in blocks. Llama 3 counts 1 each: 126
  // blocks on 16 x 8 stages are one a stage and none on the first and last.
  double first_extra = 0, last_extra = 0;
};

// Blocks of each stage, so that the dearest stage is as cheap as it can be; where blocks are left over, later stages
// get them, which have fewer microbatches in flight. A stage without blocks is legal only where the embedding or the
// head is. Error{usage}: more stages than that allows.
std::vector<int> split_layers(const LayerSplit& split);

// "balanced": split_layers; otherwise the numbers themselves, "3,4,4,3" in the order of stages. Error{usage} names
// parallel.stage_layers.
std::vector<int> stage_layers(std::string_view text, const LayerSplit& split);

}  // namespace drover
