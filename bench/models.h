// The models that benchmarks train.
#pragma once

#include "model/config.h"

namespace drover {

// 8.4M parameters.
inline ModelConfig model_8m() {
  return {.hidden_size = 256,
          .num_hidden_layers = 8,
          .num_attention_heads = 8,
          .num_key_value_heads = 4,
          .intermediate_size = 768,
          .vocab_size = 8192,
          .tie_word_embeddings = true};
}

}  // namespace drover
