// The one table that says where every parameter of a Llama lives (parallel/mesh/layout.h explains the columns).
//
// Groups, in the order the forward pass uses them: 0 the embedding (also the head when tied), 1 .. L the
// blocks, L + 1 the final norm (and the head when untied).
#pragma once

#include <vector>

#include "model/config.h"
#include "parallel/mesh/layout.h"

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

// What one stage of a pipeline holds: blocks [begin, end), the embedding before the first stage's and the head behind
// the last one's.
struct StagePart {
  int stage = 0, stages = 1;
  std::int64_t begin = 0, end = 0;

  bool first() const { return stage == 0; }
  bool last() const { return stage + 1 == stages; }
  std::int64_t blocks() const { return end - begin; }
};
StagePart whole_model(const ModelConfig& config);

// The groups of a pipeline rank that computes these stages, in GroupIndex order, each once. A tied table is held by
// the first and the last stage.
std::vector<int> groups_of(const ModelConfig& config, std::span<const StagePart> parts);

// Flat storage of the groups_of `parts`, in that order, on one tensor-parallel rank.
struct Cut {
  int tensor_rank = 0, tensor_ranks = 1, shards = 1;
};
std::vector<GroupLayout> group_layouts(const ModelConfig& config, const ParameterTable& table,
                                       std::span<const StagePart> parts, const Cut& cut);

}  // namespace drover
