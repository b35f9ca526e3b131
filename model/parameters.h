// From a group's flat storage to the matrices modules compute with: pure views, the same for weights and
// gradients.
#pragma once

#include "model/block.h"
#include "model/layouts.h"

namespace drover {

struct HeadWeights {
  Tensor norm;  // [D]
  Tensor head;  // [V, D]; empty when tied (then it is the embedding's table)
};

// `flat` is the whole group, working weights or full gradients; `layout` the group's.
Tensor embedding_view(const GroupLayout& layout, const Tensor& flat);  // [V, D]
BlockWeights block_view(const GroupLayout& layout, const Tensor& flat);
HeadWeights head_view(const GroupLayout& layout, const Tensor& flat);

}  // namespace drover
