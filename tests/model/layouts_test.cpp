// The table of layouts, for every axis: what each rank holds, and over whom gradients are summed.
#include "model/layouts.h"

#include <map>

#include "tests/support/test_support.h"

namespace drover {
namespace {

// 12 query heads, 4 kv heads: kv heads are cut at 2 and 4 tensor ranks, and copied at 12.
ModelConfig model(bool tied = false) {
  return {.hidden_size = 20,
          .num_hidden_layers = 2,
          .num_attention_heads = 12,
          .num_key_value_heads = 4,
          .intermediate_size = 36,
          .vocab_size = 48,
          .head_dim = 2,
          .tie_word_embeddings = tied};
}

std::vector<GroupLayout> whole_groups(const ModelConfig& config, const ParameterTable& table,
                                      const Cut& cut) {
  const StagePart whole = whole_model(config);
  return group_layouts(config, table, {&whole, 1}, cut);
}

// How many (tensor rank, shard) pairs hold each element of each parameter.
using Holders = std::map<std::string, std::vector<int>>;

Holders count_holders(const ModelConfig& config, const ParameterTable& table, int tensor_ranks, int shards) {
  Holders holders;
  for (int tensor = 0; tensor < tensor_ranks; ++tensor)
    for (const GroupLayout& group : whole_groups(
             config, table, {.tensor_rank = tensor, .tensor_ranks = tensor_ranks, .shards = shards})) {
      REQUIRE(group.size == shards * group.shard_size);
      REQUIRE(group.shard_size % kFlatAlignment == 0);
      for (int shard = 0; shard < shards; ++shard)
        for (const FlatBox& piece :
             boxes_of_range(group, shard * group.shard_size, (shard + 1) * group.shard_size)) {
          const ParameterLayout& parameter = table[static_cast<std::size_t>(piece.parameter)];
          std::vector<int>& count = holders[parameter.name];
          count.resize(static_cast<std::size_t>(parameter.numel()));
          const Box& box = piece.box;
          for (std::int64_t row = box.offset[0]; row < box.offset[0] + box.extent[0]; ++row)
            for (std::int64_t column = box.offset[1]; column < box.offset[1] + box.extent[1]; ++column)
              ++count[static_cast<std::size_t>(row * parameter.shape[1] + column)];
        }
    }
  return holders;
}

const ParameterLayout& row_of(const ParameterTable& table, const std::string& name) {
  for (const ParameterLayout& row : table)
    if (row.name == name) return row;
  throw usage_error("no parameter ", name);
}

}  // namespace

TEST_CASE("every element lies in one shard of every tensor rank that holds it, on any number of both") {
  for (const int tensor_ranks : {1, 2, 4, 12})
    for (const int shards : {1, 2, 3, 7}) {
      INFO(tensor_ranks << " tensor ranks, " << shards << " shards");
      const ParameterTable table = parameter_table(model(), tensor_ranks);
      const Holders holders = count_holders(model(), table, tensor_ranks, shards);
      REQUIRE(holders.size() == table.size());
      for (const ParameterLayout& row : table) {
        INFO(row.name);
        const int copies = row.cut.dim < 0 ? tensor_ranks : row.cut.copies;
        CHECK((holders.at(row.name) == std::vector<int>(static_cast<std::size_t>(row.numel()), copies)));
      }
    }
}

TEST_CASE("a gradient is summed over the tensor ranks that see only a part of what it comes from") {
  const ParameterTable table = parameter_table(model(), 12);
  const std::string block = "model.layers.1.";
  CHECK(
      (row_of(table, block + "self_attn.k_proj.weight").cut == TensorCut{.dim = 0, .parts = 4, .copies = 3}));
  for (const char* copied : {"self_attn.k_proj.weight", "self_attn.v_proj.weight"})
    CHECK((row_of(table, block + copied).tensor_sum == TensorSum::copies));
  for (const char* whole : {"input_layernorm.weight", "post_attention_layernorm.weight"}) {
    CHECK(row_of(table, block + whole).cut.dim == -1);
    CHECK((row_of(table, block + whole).tensor_sum == TensorSum::all));
    CHECK_FALSE(row_of(table, block + whole).decay);
  }
  for (const char* by_rows : {"self_attn.q_proj.weight", "mlp.gate_proj.weight", "mlp.up_proj.weight"}) {
    CHECK((row_of(table, block + by_rows).cut == TensorCut{.dim = 0, .parts = 12, .copies = 1}));
    CHECK((row_of(table, block + by_rows).tensor_sum == TensorSum::none));
  }
  for (const char* by_columns : {"self_attn.o_proj.weight", "mlp.down_proj.weight"})
    CHECK((row_of(table, block + by_columns).cut == TensorCut{.dim = 1, .parts = 12, .copies = 1}));
  CHECK((row_of(table, "model.norm.weight").tensor_sum == TensorSum::all));
  CHECK((parameter_table(model(), 2)[2].tensor_sum == TensorSum::none));  // q of the first block
}

TEST_CASE("a tied head is stored with the embedding, once") {
  const ParameterTable table = parameter_table(model(true), 2);
  const ParameterLayout& head = row_of(table, "lm_head.weight");
  CHECK(head.tied_to == "model.embed_tokens.weight");
  CHECK(head.group == row_of(table, "model.embed_tokens.weight").group);
  const Holders holders = count_holders(model(true), table, 2, 3);
  CHECK(holders.count("lm_head.weight") == 0);
  CHECK((holders.at("model.embed_tokens.weight") == std::vector<int>(48 * 20, 1)));
}

TEST_CASE("q, k and v, and gate and up, are one matrix each in a group's flat storage") {
  const ParameterTable table = parameter_table(model(), 4);
  const GroupLayout block =
      whole_groups(model(), table, {.tensor_rank = 1, .tensor_ranks = 4, .shards = 2})[1];
  const auto begin_after = [&](std::size_t piece) { return block.pieces[piece].end(); };
  for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{6}})
    CHECK(block.pieces[piece + 1].begin == begin_after(piece));
  for (const std::size_t piece : {std::size_t{0}, std::size_t{1}, std::size_t{4}, std::size_t{8}})
    CHECK(block.pieces[piece].begin % kFlatAlignment == 0);
}

TEST_CASE("tensor ranks that do not divide the model are refused with the nearest numbers that do") {
  const auto refused = [](const ModelConfig& config, int tensor_ranks, const std::string& why) {
    CHECK_THROWS_WITH(parameter_table(config, tensor_ranks), cat("parallel.tensor is ", tensor_ranks, why));
  };
  refused(model(), 5,
          ", which does not divide model.num_attention_heads = 12; nearest legal values: 4 and 12");
  refused(model(), 6,
          " and model.num_key_value_heads 4: one must divide the other; nearest legal values: 4 and 12");
  refused(model(), 1 << 30,
          ", which does not divide model.num_attention_heads = 12; nearest legal values: 12");
  ModelConfig narrow = model();
  narrow.intermediate_size = 34;
  refused(narrow, 4, ", which does not divide model.intermediate_size = 34; nearest legal values: 2");
}

TEST_CASE("boxes meet where both reach") {
  const Box a{.offset = {2, 0}, .extent = {4, 10}}, b{.offset = {4, 7}, .extent = {10, 10}};
  CHECK((intersect(a, b) == Box{.offset = {4, 7}, .extent = {2, 3}}));
  CHECK((intersect(b, a) == intersect(a, b)));
  CHECK(intersect(a, {.offset = {6, 0}, .extent = {1, 1}}).empty());
}

}  // namespace drover
