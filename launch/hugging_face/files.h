// The small files of a Transformers model folder, as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "checkpoint/format/state.h"
#include "checkpoint/safetensors/float_bits.h"
#include "data/tokenizer/tokenizer.h"
#include "train/config.h"

namespace drover {

// Names BOS and EOS as the tokenizer has them; the rest is in tokenizer.json.
std::string tokenizer_config_json(const Tokenizer& tokenizer, std::int64_t max_positions);
std::string special_tokens_map_json(const Tokenizer& tokenizer);
// Which ids begin and end a text; none without a tokenizer.
std::string generation_config_json(const std::optional<Tokenizer>& tokenizer);

struct ModelCard {
  const Config& config;
  const RunState& state;
  WeightFormat format;
  std::int64_t max_positions = 0;
  bool has_tokenizer = false;
};
// README.md with what a checkpoint knows about itself, and how to load it.
std::string model_card(const ModelCard& card);

}  // namespace drover
