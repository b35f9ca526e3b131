#include "model/config.h"

#include "core/base/error.h"

namespace drover {

namespace {

void require_positive(const char* key, std::int64_t value) {
  if (value < 1) throw usage_error("model.", key, " is ", value, "; it must be at least 1");
}

void require_multiple(const char* key, std::int64_t value, const char* of_key, std::int64_t of) {
  if (value % of == 0) return;
  throw usage_error("model.", key, " is ", value, ", not a multiple of model.", of_key, " = ", of,
                    "; nearest legal values: ", nearest_multiples(value, of));
}

void validate_rope(const ModelConfig& config) {
  if (config.head_size() % 2 != 0)
    throw usage_error("model.head_dim is ", config.head_size(),
                      "; rotary positions turn pairs, so it must be even");
  if (config.rope_theta <= 1)
    throw usage_error("model.rope_theta is ", config.rope_theta, "; it must be above 1");
  if (!config.rope_scaling) return;
  const RopeScaling& scaling = *config.rope_scaling;
  if (scaling.factor < 1)
    throw usage_error("model.rope_scaling.factor is ", scaling.factor, "; it must be at least 1");
  if (scaling.low_freq_factor <= 0 || scaling.high_freq_factor <= scaling.low_freq_factor)
    throw usage_error("model.rope_scaling needs 0 < low_freq_factor < high_freq_factor, not ",
                      scaling.low_freq_factor, " and ", scaling.high_freq_factor);
}

// What is multiplied later stays far inside an int64.
void require_countable(const ModelConfig& c) {
  constexpr double kMost = 1e15;
  const auto real = [](std::int64_t value) { return static_cast<double>(value); };
  const double attention =
      2 * real(c.head_size()) * (real(c.num_attention_heads) + real(c.num_key_value_heads));
  const double block = real(c.hidden_size) * (attention + 3 * real(c.intermediate_size));
  const double parameters = real(c.num_hidden_layers) * block + 2 * real(c.vocab_size) * real(c.hidden_size);
  if (parameters > kMost)
    throw usage_error("model.hidden_size is ", c.hidden_size,
                      ", and with model.num_hidden_layers = ", c.num_hidden_layers, " the model would have ",
                      parameters, " parameters; at most ", kMost);
}

}  // namespace

void validate(const ModelConfig& config) {
  require_positive("hidden_size", config.hidden_size);
  require_positive("num_hidden_layers", config.num_hidden_layers);
  require_positive("num_attention_heads", config.num_attention_heads);
  require_positive("num_key_value_heads", config.num_key_value_heads);
  require_positive("intermediate_size", config.intermediate_size);
  require_positive("vocab_size", config.vocab_size);
  if (config.head_dim == 0)
    require_multiple("hidden_size", config.hidden_size, "num_attention_heads", config.num_attention_heads);
  require_multiple("num_attention_heads", config.num_attention_heads, "num_key_value_heads",
                   config.num_key_value_heads);
  validate_rope(config);
  require_countable(config);
}

ParameterCount count_parameters(const ModelConfig& c) {
  const std::int64_t attention =
      c.head_size() * c.hidden_size * (2 * c.num_attention_heads + 2 * c.num_key_value_heads);
  const std::int64_t mlp = 3 * c.hidden_size * c.intermediate_size;
  const std::int64_t table = c.vocab_size * c.hidden_size;
  const std::int64_t norms = (2 * c.num_hidden_layers + 1) * c.hidden_size;
  const std::int64_t blocks = c.num_hidden_layers * (attention + mlp);
  return {.total = blocks + norms + table * (c.tie_word_embeddings ? 1 : 2),
          .embedding = table,
          .matmul = blocks + table};
}

double training_flops(const ModelConfig& c, std::int64_t tokens, std::int64_t attended_pairs) {
  const double attention =
      12.0 * static_cast<double>(c.head_size() * c.num_attention_heads * c.num_hidden_layers);
  return 6.0 * static_cast<double>(count_parameters(c).matmul) * static_cast<double>(tokens) +
         attention * static_cast<double>(attended_pairs);
}

}  // namespace drover
