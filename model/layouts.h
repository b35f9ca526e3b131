// The one table that says where every parameter of a Llama lives (parallel/layout.h explains the columns).
//
// Groups, in the order the forward pass uses them: 0 the embedding (also the head when tied), 1 .. L the
// blocks, L + 1 the final norm (and the head when untied).
#pragma once

#include <vector>

#include "model/config.h"
#include "parallel/layout.h"

namespace drover {

using ParameterTable = std::vector<ParameterLayout>;

struct GroupIndex {
  std::int64_t blocks = 0;
  int embedding() const { return 0; }
  int block(std::int64_t layer) const { return static_cast<int>(1 + layer); }
  int head() const { return static_cast<int>(1 + blocks); }
  int count() const { return static_cast<int>(2 + blocks); }
};

// Rows in the order of storage. Error{usage} when the model does not divide over `tensor_ranks`, with the
// nearest legal values.
ParameterTable parameter_table(const ModelConfig& config, int tensor_ranks);

// "embedding", "layers.3", "head"
std::string group_name(const ModelConfig& config, int group);

// Flat storage of every group, in GroupIndex order, on one tensor-parallel rank.
std::vector<GroupLayout> group_layouts(const ModelConfig& config, const ParameterTable& table,
                                       int tensor_rank, int tensor_ranks, int shards);

}  // namespace drover
