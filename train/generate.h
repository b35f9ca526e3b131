// Continues a text, token by token, with the weights a training holds. For looking at what a run has learned:
// the whole context is computed again for every token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/function_ref.h"
#include "train/training.h"

namespace drover {

struct SampleOptions {
  std::int64_t max_tokens = 200;
  double temperature = 0.8;  // 0: always the likeliest token
  double top_p = 0.95;  // only the likeliest tokens whose probabilities reach this (Holtzman et al. 2020)
  std::uint64_t seed = 1;
};
// Error{usage} naming the option that is out of range.
void validate(const SampleOptions& options);

// One token from logits [V], as a pure function of the logits and of `uniform` in [0, 1).
std::int32_t sample(std::span<const float> logits, const SampleOptions& options, double uniform);

// Calls `emit` with each new token until it returns false or max_tokens were made. The context is the last
// tokens that fit the stage (StageOptions::max_tokens, from build_inference). `prompt` has at least one
// token. Collective: every rank gives the same arguments and makes the same tokens.
void generate(Training& training, const Platform& platform, std::span<const std::int32_t> prompt,
              const SampleOptions& options, FunctionRef<bool(std::int32_t token)> emit);

}  // namespace drover
