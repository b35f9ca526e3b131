// The shape of a Llama. Names are Hugging Face's config.json keys.
#pragma once

#include <cstdint>
#include <optional>

namespace drover {

// Llama 3.1's long-context scaling of rotary frequencies (rope_type "llama3"); formula in model/rope.h.
struct RopeScaling {
  double factor = 8;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  std::int64_t original_max_position_embeddings = 8192;
};

struct ModelConfig {
  std::int64_t hidden_size = 0;          // D
  std::int64_t num_hidden_layers = 0;    // L
  std::int64_t num_attention_heads = 0;  // H
  std::int64_t num_key_value_heads = 0;  // K
  std::int64_t intermediate_size = 0;    // F
  std::int64_t vocab_size = 0;           // V
  std::int64_t head_dim = 0;             // E; 0: hidden_size / num_attention_heads
  double rope_theta = 500000;
  std::optional<RopeScaling> rope_scaling;
  double rms_norm_eps = 1e-5;
  bool tie_word_embeddings = false;
  double initializer_range = 0.02;

  std::int64_t head_size() const { return head_dim > 0 ? head_dim : hidden_size / num_attention_heads; }
};

// Throws Error{usage} naming the key, its value and the nearest legal values.
void validate(const ModelConfig& config);

struct ParameterCount {
  std::int64_t total = 0;
  std::int64_t embedding = 0;  // input table (and head, when untied, is counted in total only)
  std::int64_t matmul = 0;     // parameters every token multiplies with: blocks' matrices and the head
};
ParameterCount count_parameters(const ModelConfig& config);

// FLOPs of one training step's forward and backward, recompute never counted: 6 per multiplied parameter and
// token, and 12 E H L per attended pair (4 forward, 8 backward).
double training_flops(const ModelConfig& config, std::int64_t tokens, std::int64_t attended_pairs);

}  // namespace drover
