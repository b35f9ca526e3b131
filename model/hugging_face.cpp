#include "model/hugging_face.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/json_text.h"

namespace drover {

namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr std::int64_t kMaxSize = 1 << 28;  // of any size in the file
constexpr std::int64_t kMaxLayers = 1 << 14;

OrderedJson scaling_json(const RopeScaling& scaling) {
  return {{"rope_type", "llama3"},
          {"factor", scaling.factor},
          {"low_freq_factor", scaling.low_freq_factor},
          {"high_freq_factor", scaling.high_freq_factor},
          {"original_max_position_embeddings", scaling.original_max_position_embeddings}};
}

OrderedJson token_json(const std::optional<std::int32_t>& id) {
  return id ? OrderedJson(*id) : OrderedJson(nullptr);
}

void write_rope(OrderedJson& json, const ModelConfig& model) {
  const OrderedJson scaling = model.rope_scaling ? scaling_json(*model.rope_scaling) : OrderedJson(nullptr);
  json["rope_theta"] = model.rope_theta;
  json["rope_scaling"] = scaling;
  json["rope_parameters"] = model.rope_scaling ? scaling : OrderedJson{{"rope_type", "default"}};
  json["rope_parameters"]["rope_theta"] = model.rope_theta;
}

// One object of the file. A key that is missing or null has its default.
class Reader {
 public:
  Reader(const Json& json, const std::filesystem::path& path, std::string prefix = "")
      : json_(json), path_(path), prefix_(std::move(prefix)) {}

  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }

  std::int64_t integer(const char* key, std::optional<std::int64_t> missing,
                       std::int64_t most = kMaxSize) const {
    if (!has(key) && missing) return *missing;
    if (!has(key) || !json_[key].is_number_unsigned() || json_[key] < 1 || json_[key] > most)
      throw bad(key, cat("it must be a whole number from 1 to ", most));
    return json_[key].get<std::int64_t>();
  }
  double number(const char* key, std::optional<double> missing) const {
    if (!has(key) && missing) return *missing;
    if (!has(key) || !json_[key].is_number()) throw bad(key, "it must be a number");
    return json_[key].get<double>();
  }
  bool flag(const char* key) const {
    if (!has(key)) return false;
    if (!json_[key].is_boolean()) throw bad(key, "it must be true or false");
    return json_[key].get<bool>();
  }
  std::string text(const char* key, const char* missing) const {
    if (!has(key)) return missing;
    if (!json_[key].is_string()) throw bad(key, "it must be text");
    return json_[key].get<std::string>();
  }
  Reader object(const char* key) const {
    if (!json_[key].is_object()) throw bad(key, "it must be an object");
    return {json_[key], path_, prefix_ + key + "."};
  }
  const Json& json() const { return json_; }

  Error bad(const char* key, std::string_view what_to_do) const {
    const std::string value =
        json_.contains(key) ? json_[key].dump(-1, ' ', true, Json::error_handler_t::replace) : "missing";
    return input_error(path_.string(), ": ", prefix_, key, " is ", value.substr(0, 100), "; ", what_to_do);
  }

 private:
  const Json& json_;
  const std::filesystem::path& path_;
  std::string prefix_;
};

// Version 4 has the key outside, version 5 in rope_parameters.
void refuse_partial_rotation(const Reader& read) {
  if (read.number("partial_rotary_factor", 1.0) != 1)
    throw read.bad("partial_rotary_factor",
                   "Drover's Llama turns whole heads, so this model cannot be imported");
}

void refuse_other_models(const Reader& read) {
  if (read.text("model_type", "") != "llama")
    throw read.bad("model_type", "only \"llama\" can be imported: Drover trains Llamas and nothing else");
  const Json& json = read.json();
  if (read.has("architectures") && json["architectures"] != Json::array({"LlamaForCausalLM"}))
    throw read.bad("architectures",
                   "only LlamaForCausalLM can be imported; save that part of the model with save_pretrained");
  if (read.has("quantization_config"))
    throw read.bad("quantization_config",
                   "quantised weights cannot be trained on; import the model that they were made from, or "
                   "`dequantize()` it in Transformers and save that");
  for (const char* key : {"attention_bias", "mlp_bias"})
    if (read.flag(key)) throw read.bad(key, "Drover's Llama has no biases, so this model cannot be imported");
  if (read.text("hidden_act", "silu") != "silu")
    throw read.bad("hidden_act", "Drover's Llama has only \"silu\", so this model cannot be imported");
  refuse_partial_rotation(read);
}

std::optional<RopeScaling> read_scaling(const Reader& read) {
  const char* key = read.has("rope_type") ? "rope_type" : "type";
  const std::string type = read.text(key, "default");
  if (type == "default") return std::nullopt;
  if (type != "llama3")
    throw read.bad(key, "of the ways to scale RoPE Drover has only \"llama3\" (and \"default\": none)");
  return RopeScaling{
      .factor = read.number("factor", std::nullopt),
      .low_freq_factor = read.number("low_freq_factor", std::nullopt),
      .high_freq_factor = read.number("high_freq_factor", std::nullopt),
      .original_max_position_embeddings = read.integer("original_max_position_embeddings", std::nullopt)};
}

bool equal(const std::optional<RopeScaling>& a, const std::optional<RopeScaling>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return scaling_json(*a) == scaling_json(*b);
}

// Version 4's rope_theta and rope_scaling, version 5's rope_parameters, or both, if they agree.
void read_rope(const Reader& read, ModelConfig& model) {
  constexpr double kDefaultTheta = 10000;
  const bool scaling = read.has("rope_scaling"), parameters = read.has("rope_parameters");
  model.rope_theta = read.number("rope_theta", kDefaultTheta);
  if (scaling) model.rope_scaling = read_scaling(read.object("rope_scaling"));
  if (!parameters) return;
  const Reader inner = read.object("rope_parameters");
  const double theta = inner.number("rope_theta", model.rope_theta);
  const auto scaled = read_scaling(inner);
  refuse_partial_rotation(inner);
  if ((read.has("rope_theta") && theta != model.rope_theta) ||
      (scaling && !equal(scaled, model.rope_scaling)))
    throw read.bad("rope_parameters",
                   "rope_theta and rope_scaling beside it say otherwise; remove what is wrong");
  model.rope_theta = theta;
  model.rope_scaling = scaled;
}

void check(const ModelConfig& model, const std::filesystem::path& path) {
  try {
    validate(model);
  } catch (const Error& error) {
    throw input_error(path.string(), ": ", error.what());
  }
}

}  // namespace

std::string write_hugging_face_config(const HuggingFaceConfig& config) {
  const ModelConfig& model = config.model;
  OrderedJson json = {{"architectures", {"LlamaForCausalLM"}},
                      {"model_type", "llama"},
                      {"hidden_size", model.hidden_size},
                      {"num_hidden_layers", model.num_hidden_layers},
                      {"num_attention_heads", model.num_attention_heads},
                      {"num_key_value_heads", model.num_key_value_heads},
                      {"head_dim", model.head_size()},
                      {"intermediate_size", model.intermediate_size},
                      {"vocab_size", model.vocab_size},
                      {"max_position_embeddings", config.max_position_embeddings}};
  write_rope(json, model);
  json["rms_norm_eps"] = model.rms_norm_eps;
  json["tie_word_embeddings"] = model.tie_word_embeddings;
  json["initializer_range"] = model.initializer_range;
  json["hidden_act"] = "silu";
  json["attention_bias"] = false;
  json["attention_dropout"] = 0.0;
  json["mlp_bias"] = false;
  json["use_cache"] = true;
  json["bos_token_id"] = token_json(config.bos);
  json["eos_token_id"] = token_json(config.eos);
  json["torch_dtype"] = json["dtype"] = config.dtype;
  return json.dump(2) + "\n";
}

HuggingFaceConfig read_hugging_face_config(std::string_view text, const std::filesystem::path& path) {
  if (json_is_deeper_than(text))
    throw input_error(path.string(), ": nested deeper than ", kMaxJsonLevels, " levels; fetch it again");
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw input_error(path.string(), " is no JSON object; fetch it again");
  const Reader read(json, path);
  refuse_other_models(read);
  HuggingFaceConfig config;
  ModelConfig& model = config.model;
  const auto size = [&](const char* key) { return read.integer(key, std::nullopt); };
  model.hidden_size = size("hidden_size");
  model.num_hidden_layers = read.integer("num_hidden_layers", std::nullopt, kMaxLayers);
  model.num_attention_heads = size("num_attention_heads");
  model.num_key_value_heads = read.integer("num_key_value_heads", model.num_attention_heads);
  model.intermediate_size = size("intermediate_size");
  model.vocab_size = size("vocab_size");
  // 0, the usual size, where it says the same: then the YAML need not say it.
  const std::int64_t usual = model.hidden_size / model.num_attention_heads;
  const std::int64_t head_dim = read.integer("head_dim", std::max<std::int64_t>(usual, 1));
  if (head_dim != usual) model.head_dim = head_dim;
  read_rope(read, model);
  model.rms_norm_eps = read.number("rms_norm_eps", 1e-6);
  model.tie_word_embeddings = read.flag("tie_word_embeddings");
  model.initializer_range = read.number("initializer_range", 0.02);
  config.max_position_embeddings = read.integer("max_position_embeddings", config.max_position_embeddings);
  check(model, path);
  return config;
}

}  // namespace drover
