#include "model/layouts.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"

namespace drover {

namespace {

bool one_divides_the_other(std::int64_t a, std::int64_t b) { return a % b == 0 || b % a == 0; }

bool divides_over(const ModelConfig& c, std::int64_t tensor_ranks) {
  return c.num_attention_heads % tensor_ranks == 0 && c.intermediate_size % tensor_ranks == 0 &&
         c.vocab_size % tensor_ranks == 0 && one_divides_the_other(c.num_key_value_heads, tensor_ranks);
}

// "nearest legal values: 4 and 12", of those that the whole model divides over.
std::string nearest_tensor_ranks(const ModelConfig& config, std::int64_t wanted) {
  const std::int64_t most = config.num_attention_heads;
  std::int64_t below = std::min(wanted, most), above = wanted;
  while (!divides_over(config, below)) --below;  // ends at 1
  while (above <= most && !divides_over(config, above)) ++above;
  return cat("nearest legal values: ", below, above <= most ? cat(" and ", above) : "");
}

// Heads, ffn rows or vocabulary rows must cut evenly.
void require_cut(const ModelConfig& config, const char* key, std::int64_t size, int parts) {
  if (size % parts != 0)
    throw usage_error("parallel.tensor is ", parts, ", which does not divide model.", key, " = ", size, "; ",
                      nearest_tensor_ranks(config, parts));
}

// KV heads fewer than TP: TP = parts x copies.
TensorCut kv_cut(const ModelConfig& config, int tensor_ranks) {
  const std::int64_t kv_heads = config.num_key_value_heads;
  if (kv_heads % tensor_ranks == 0) return {.dim = 0, .parts = tensor_ranks, .copies = 1};
  if (tensor_ranks % kv_heads == 0)
    return {
        .dim = 0, .parts = static_cast<int>(kv_heads), .copies = static_cast<int>(tensor_ranks / kv_heads)};
  throw usage_error("parallel.tensor is ", tensor_ranks, " and model.num_key_value_heads ", kv_heads,
                    ": one must divide the other; ", nearest_tensor_ranks(config, tensor_ranks));
}

class TableBuilder {
 public:
  TableBuilder(const ModelConfig& config, int tensor_ranks) : config_(config), tensor_ranks_(tensor_ranks) {}

  ParameterLayout matrix(std::string name, std::int64_t rows, std::int64_t cols, TensorCut cut) const {
    return {.name = std::move(name),
            .shape = {rows, cols},
            .dims = 2,
            .group = group,
            .cut = cut,
            .tensor_sum = cut.copies > 1 ? TensorSum::copies : TensorSum::none,
            .init = Init::normal,
            .init_stddev = config_.initializer_range,
            .decay = true};
  }
  // Norms see only this rank's part of the tokens under sequence parallelism, so their gradients are summed
  // over TP.
  ParameterLayout norm(std::string name) const {
    return {.name = std::move(name),
            .shape = {1, config_.hidden_size},
            .dims = 1,
            .group = group,
            .tensor_sum = TensorSum::all,
            .init = Init::ones,
            .decay = false};
  }
  TensorCut rows() const { return {.dim = 0, .parts = tensor_ranks_, .copies = 1}; }
  TensorCut columns() const { return {.dim = 1, .parts = tensor_ranks_, .copies = 1}; }

  int group = 0;

 private:
  const ModelConfig& config_;
  int tensor_ranks_;
};

void add_block(ParameterTable& table, TableBuilder& build, const ModelConfig& c, std::int64_t layer,
               int tensor_ranks) {
  const std::string prefix = cat("model.layers.", layer, ".");
  const std::int64_t q_rows = c.num_attention_heads * c.head_size(),
                     kv_rows = c.num_key_value_heads * c.head_size();
  const TensorCut kv = kv_cut(c, tensor_ranks);
  table.push_back(build.norm(prefix + "input_layernorm.weight"));
  table.push_back(build.matrix(prefix + "self_attn.q_proj.weight", q_rows, c.hidden_size, build.rows()));
  table.back().fused_with_next = true;
  table.push_back(build.matrix(prefix + "self_attn.k_proj.weight", kv_rows, c.hidden_size, kv));
  table.back().fused_with_next = true;
  table.push_back(build.matrix(prefix + "self_attn.v_proj.weight", kv_rows, c.hidden_size, kv));
  table.push_back(build.matrix(prefix + "self_attn.o_proj.weight", c.hidden_size, q_rows, build.columns()));
  table.push_back(build.norm(prefix + "post_attention_layernorm.weight"));
  table.push_back(
      build.matrix(prefix + "mlp.gate_proj.weight", c.intermediate_size, c.hidden_size, build.rows()));
  table.back().fused_with_next = true;
  table.push_back(
      build.matrix(prefix + "mlp.up_proj.weight", c.intermediate_size, c.hidden_size, build.rows()));
  table.push_back(
      build.matrix(prefix + "mlp.down_proj.weight", c.hidden_size, c.intermediate_size, build.columns()));
}

}  // namespace

ParameterTable parameter_table(const ModelConfig& c, int tensor_ranks) {
  validate(c);
  require_cut(c, "num_attention_heads", c.num_attention_heads, tensor_ranks);
  require_cut(c, "intermediate_size", c.intermediate_size, tensor_ranks);
  require_cut(c, "vocab_size", c.vocab_size, tensor_ranks);
  const GroupIndex groups{c.num_hidden_layers};
  TableBuilder build(c, tensor_ranks);
  ParameterTable table;
  build.group = groups.embedding();
  table.push_back(build.matrix("model.embed_tokens.weight", c.vocab_size, c.hidden_size, build.rows()));
  for (std::int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    build.group = groups.block(layer);
    add_block(table, build, c, layer, tensor_ranks);
  }
  build.group = groups.head();
  table.push_back(build.norm("model.norm.weight"));
  table.push_back(build.matrix("lm_head.weight", c.vocab_size, c.hidden_size, build.rows()));
  if (c.tie_word_embeddings) {
    table.back().tied_to = "model.embed_tokens.weight";
    table.back().group = groups.embedding();
  }
  return table;
}

std::string group_name(const ModelConfig& config, int group) {
  const GroupIndex groups{config.num_hidden_layers};
  if (group == groups.embedding()) return "embedding";
  if (group == groups.head()) return "head";
  return cat("layers.", group - 1);
}

StagePart whole_model(const ModelConfig& config) { return {.begin = 0, .end = config.num_hidden_layers}; }

std::vector<int> groups_of(const ModelConfig& config, std::span<const StagePart> parts) {
  const GroupIndex index{config.num_hidden_layers};
  std::set<int> groups;
  for (const StagePart& part : parts) {
    if (part.first() || (part.last() && config.tie_word_embeddings)) groups.insert(index.embedding());
    for (std::int64_t layer = part.begin; layer < part.end; ++layer) groups.insert(index.block(layer));
    if (part.last()) groups.insert(index.head());
  }
  return {groups.begin(), groups.end()};
}

std::vector<GroupLayout> group_layouts(const ModelConfig& config, const ParameterTable& table,
                                       std::span<const StagePart> parts, const Cut& cut) {
  const GroupIndex index{config.num_hidden_layers};
  const bool holds_first =
      std::any_of(parts.begin(), parts.end(), [](const auto& part) { return part.first(); });
  std::vector<GroupLayout> layouts;
  for (const int group : groups_of(config, parts)) {
    GroupLayout layout =
        flat_layout(group_name(config, group), table, group, cut.tensor_rank, cut.tensor_ranks, cut.shards);
    layout.in_turn = group != index.embedding() && group != index.head();
    layout.counted = group != index.embedding() || holds_first;
    layouts.push_back(std::move(layout));
  }
  return layouts;
}

}  // namespace drover
