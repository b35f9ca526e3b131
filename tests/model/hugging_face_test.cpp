#include "model/hugging_face.h"

#include "core/base/error.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

HuggingFaceConfig read(const std::string& text) { return read_hugging_face_config(text, "config.json"); }

std::string refusal(const std::string& text) {
  try {
    read(text);
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::input);
    return error.what();
  }
  return "nothing was thrown";
}

const std::string kSizes = R"("model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
  "num_attention_heads": 4, "intermediate_size": 96, "vocab_size": 300)";
std::string with(const std::string& more) { return "{" + kSizes + ", " + more + "}"; }

// As version 4 writes the configuration of Llama 3.1 8B.
const char* const kVersion4 = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
  "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
  "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
  "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1,
  "rms_norm_eps": 1e-05,
  "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                   "original_max_position_embeddings": 8192, "rope_type": "llama3"},
  "rope_theta": 500000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
  "transformers_version": "4.43.0", "use_cache": true, "vocab_size": 128256})";

}  // namespace

TEST_CASE("a configuration that is written is read as it was, scaled or not, tied or not") {
  for (const bool scaled : {false, true}) {
    HuggingFaceConfig config{.model = {.hidden_size = 96,
                                       .num_hidden_layers = 3,
                                       .num_attention_heads = 4,
                                       .num_key_value_heads = 2,
                                       .intermediate_size = 130,
                                       .vocab_size = 257,
                                       .head_dim = scaled ? 10 : 0,
                                       .rope_theta = 12345.5,
                                       .rms_norm_eps = 3e-6,
                                       .tie_word_embeddings = scaled,
                                       .initializer_range = 0.015},
                             .max_position_embeddings = 77};
    if (scaled) config.model.rope_scaling = RopeScaling{3.5, 1.5, 5.5, 48};
    const std::string text = write_hugging_face_config(config);
    const HuggingFaceConfig back = read(text);
    CHECK(write_hugging_face_config(back) == text);
    CHECK(back.model.head_dim == config.model.head_dim);
    CHECK(back.model.rope_scaling.has_value() == scaled);
  }
}

TEST_CASE("version 4's rope_theta and rope_scaling are read") {
  const HuggingFaceConfig config = read(kVersion4);
  CHECK(config.model.rope_theta == 500000);
  REQUIRE(config.model.rope_scaling);
  CHECK(config.model.rope_scaling->factor == 8);
  CHECK(config.model.rope_scaling->original_max_position_embeddings == 8192);
  CHECK(config.model.head_dim == 0);
  CHECK(config.max_position_embeddings == 131072);
  CHECK(count_parameters(config.model).total == 8'030'261'248);
}

TEST_CASE("version 5's rope_parameters are read") {
  const auto config =
      read(with(R"("rope_parameters": {"rope_type": "llama3", "rope_theta": 20000.0, "factor": 4,
    "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 32}, "dtype": "bfloat16")"));
  CHECK(config.model.rope_theta == 20000);
  REQUIRE(config.model.rope_scaling);
  CHECK(config.model.rope_scaling->original_max_position_embeddings == 32);
  const auto plain = read(with(R"("rope_parameters": {"rope_type": "default", "rope_theta": 20000.0})"));
  CHECK(plain.model.rope_theta == 20000);
  CHECK_FALSE(plain.model.rope_scaling);
}

TEST_CASE("keys that are missing have Transformers' defaults") {
  const auto config = read("{" + kSizes + "}");
  CHECK(config.model.num_key_value_heads == 4);
  CHECK(config.model.rope_theta == 10000);
  CHECK(config.model.rms_norm_eps == 1e-6);
  CHECK_FALSE(config.model.tie_word_embeddings);
  CHECK(config.max_position_embeddings == 2048);
}

TEST_CASE("a written configuration has the keys of both versions, and they agree") {
  const std::string text = write_hugging_face_config(read(kVersion4));
  for (const char* key : {"\"rope_theta\": 500000.0", "\"rope_scaling\": {", "\"rope_parameters\": {",
                          "\"torch_dtype\": \"float32\"", "\"dtype\": \"float32\"", "\"head_dim\": 128"})
    CHECK(text.find(key) != std::string::npos);
}

TEST_CASE("models that Drover does not have are refused by key, with the value and what to do") {
  struct Row {
    std::string text;
    const char* says;
  };
  const std::array rows{
      Row{"[]", "is no JSON object"},
      Row{"{\"model_type\": \"llama\"", "is no JSON object"},
      Row{"{}", "model_type is missing"},
      Row{R"({"model_type": "mistral"})", "model_type is \"mistral\"; only \"llama\""},
      Row{with(R"("architectures": ["LlamaForSequenceClassification"])"), "only LlamaForCausalLM"},
      Row{with(R"("attention_bias": true)"), "attention_bias is true; Drover's Llama has no biases"},
      Row{with(R"("mlp_bias": true)"), "mlp_bias is true"},
      Row{with(R"("hidden_act": "gelu")"), "hidden_act is \"gelu\""},
      Row{with(R"("quantization_config": {"quant_method": "fp8"})"),
          "quantised weights cannot be trained on"},
      Row{with(R"("partial_rotary_factor": 0.5)"), "turns whole heads"},
      Row{with(R"("rope_parameters": {"partial_rotary_factor": 0.5})"),
          "rope_parameters.partial_rotary_factor is 0.5"},
      Row{with(R"("rope_scaling": {"type": "linear", "factor": 2.0})"), "rope_scaling.type is \"linear\""},
      Row{with(R"("rope_scaling": {"rope_type": "yarn", "factor": 2.0})"),
          "rope_scaling.rope_type is \"yarn\""},
      Row{with(R"("rope_scaling": {"rope_type": "llama3", "factor": 2.0})"), "low_freq_factor is missing"},
      Row{with(R"("rope_theta": 10000.0, "rope_parameters": {"rope_theta": 20000.0})"), "say otherwise"},
      Row{with(R"("rope_parameters": {"rope_theta": {"full": 1}})"), "rope_parameters.rope_theta is"},
      Row{with(R"("head_dim": 15)"), "head_dim is 15"},
      Row{with(R"("num_key_value_heads": 3)"), "num_key_value_heads = 3"},
      Row{with(R"("num_key_value_heads": 0)"), "a whole number from 1"},
      Row{with(R"("max_position_embeddings": 1e3)"), "a whole number from 1"},
      Row{with(R"("max_position_embeddings": 18446744073709551615)"), "a whole number from 1"},
      Row{with(R"("tie_word_embeddings": "yes")"), "must be true or false"},
      Row{R"({"model_type": "llama", "hidden_size": 64})", "num_hidden_layers is missing"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const std::string message = refusal(row.text);
    CHECK(message.starts_with("config.json"));
    CHECK(message.find(row.says) != std::string::npos);
    CAPTURE(message);
  }
}

}  // namespace drover
