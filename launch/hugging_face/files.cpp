#include "launch/hugging_face/files.h"

#include <nlohmann/json.hpp>

#include "launch/process/build_identity.h"
#include "launch/run/report.h"

namespace drover {

namespace {

using OrderedJson = nlohmann::ordered_json;

// Adds {"bos_token": name} and the like, for those that there are.
template <class Value>
void add_ends(OrderedJson& json, const Tokenizer& tokenizer, const char* suffix, Value value_of) {
  if (tokenizer.bos()) json[std::string("bos_") + suffix] = value_of(*tokenizer.bos());
  if (tokenizer.eos()) json[std::string("eos_") + suffix] = value_of(*tokenizer.eos());
}

void add_names(OrderedJson& json, const Tokenizer& tokenizer) {
  add_ends(json, tokenizer, "token", [&](std::int32_t id) { return std::string(tokenizer.token_bytes(id)); });
}

constexpr const char* kLoading = R"(
## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder
model = AutoModelForCausalLM.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
inputs = tokenizer("Once", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=50)[0]))
```
)";
constexpr const char* kLoadingWeights = R"(
## Use

```python
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(".")  # this folder
```
)";
constexpr const char* kRest = R"(
## Before you share it

Say what the model was trained on and under which licence it may be used: a checkpoint does not know that.
)";

std::string rope_text(const ModelConfig& model) {
  if (!model.rope_scaling) return cat("theta ", model.rope_theta);
  return cat("theta ", model.rope_theta, ", scaled as in Llama 3.1 by ", model.rope_scaling->factor, " from ",
             model.rope_scaling->original_max_position_embeddings, " tokens");
}

std::string shape_table(const ModelCard& card) {
  const ModelConfig& m = card.config.model;
  const ParameterCount count = count_parameters(m);
  return cat("| | |\n|---|---|\n| parameters | ", count.total, " (", count.total - count.embedding,
             " without the token table) |\n| layers | ", m.num_hidden_layers, " |\n| hidden size | ",
             m.hidden_size, " |\n| heads | ", m.num_attention_heads, " query, ", m.num_key_value_heads,
             " key and value, of ", m.head_size(), " |\n| feed-forward size | ", m.intermediate_size,
             " |\n| vocabulary | ", m.vocab_size, m.tie_word_embeddings ? ", embeddings tied" : "",
             " |\n| positions | ", card.max_positions, ", RoPE ", rope_text(m), " |\n| weights | ",
             name_of(card.format), " |\n");
}

}  // namespace

std::string tokenizer_config_json(const Tokenizer& tokenizer, std::int64_t max_positions) {
  // The class that takes tokenizer.json as it is; Llama's own would put another split and template in its place.
  OrderedJson json = {{"tokenizer_class", "PreTrainedTokenizerFast"}};
  add_names(json, tokenizer);
  json["clean_up_tokenization_spaces"] = false;
  json["model_input_names"] = {"input_ids", "attention_mask"};
  json["model_max_length"] = max_positions;
  return json.dump(2) + "\n";
}

std::string special_tokens_map_json(const Tokenizer& tokenizer) {
  OrderedJson json = OrderedJson::object();
  add_names(json, tokenizer);
  return json.dump(2) + "\n";
}

std::string generation_config_json(const std::optional<Tokenizer>& tokenizer) {
  OrderedJson json = OrderedJson::object();
  if (tokenizer) add_ends(json, *tokenizer, "token_id", [](std::int32_t id) { return id; });
  return json.dump(2) + "\n";
}

std::string model_card(const ModelCard& card) {
  return cat("---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- llama\n---\n\n# ",
             card.config.run.name, "\n\nA Llama for causal language modelling, written by drover ",
             build_version(), " from step ", card.state.step, " of its run, after ",
             quantity_text(static_cast<double>(card.state.tokens)), " tokens.\n\n", shape_table(card),
             card.has_tokenizer ? kLoading : kLoadingWeights, kRest);
}

}  // namespace drover
