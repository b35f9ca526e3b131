// Llama 3 405B as arXiv 2407.21783 trains it (table 4), fed with documents that no file is needed for.
#pragma once

#include "train/config.h"

namespace drover {

// TP 8, PP 16 of 8 stages a rank. Context 1 with rows of 8,192 tokens is its pretraining, context 16 with rows of
// 131,072 its long-context stage. Data-parallel ranks are what is left.
inline Config llama3_405b(std::int64_t context, std::int64_t sequence_length) {
  Config config;
  config.model = {.hidden_size = 16384,
                  .num_hidden_layers = 126,
                  .num_attention_heads = 128,
                  .num_key_value_heads = 8,
                  .intermediate_size = 53248,
                  .vocab_size = 128256};
  config.data.synthetic = SyntheticOptions{.documents = 1'000'000,
                                           .vocab_size = config.model.vocab_size,
                                           .median_length = 400,
                                           .sigma = 1.5,
                                           .max_length = 131'072};
  config.train = {.sequence_length = sequence_length, .batch_tokens = 16 << 20, .steps = 1000};
  config.optimizer.warmup_steps = 0;
  config.parallel = {
      .tensor = 8, .context = context, .pipeline = 16, .schedule = "interleaved", .virtual_stages = 8};
  return config;
}

}  // namespace drover
