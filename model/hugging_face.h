// config.json of Transformers' LlamaForCausalLM, both ways. docs/hugging_face.md has the table of keys.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "model/config.h"

namespace drover {

struct HuggingFaceConfig {
  ModelConfig model;
  std::int64_t max_position_embeddings = 2048;
  std::string dtype = "float32";  // of the weights beside it; when reading float32, whatever the file says
  std::optional<std::int32_t> bos, eos;  // when reading none
};

// Keys that versions 4 and 5 of Transformers each read: `rope_theta` with `rope_scaling`, and `rope_parameters`;
// `torch_dtype` and `dtype`.
std::string write_hugging_face_config(const HuggingFaceConfig& config);

// Written by either version; what is not there has Transformers' default. Untrusted. Error{input} names path, key and
// value of what Drover's Llama does not have (other architectures, biases, another activation, other RoPE scalings,
// quantised weights) and what to do.
HuggingFaceConfig read_hugging_face_config(std::string_view json, const std::filesystem::path& path);

}  // namespace drover
