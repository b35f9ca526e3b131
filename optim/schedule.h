// Learning rate as a pure function of the step.
//
// Steps count from 0. Warm-up, for all: lr (s + 1) / warmup_steps while s < warmup_steps. Then with progress
// p in [0, 1] through the decay and m = min_lr_ratio:
//   cosine    lr (m + (1 - m) (1 + cos(pi p)) / 2)     decay from the end of warm-up (Loshchilov and Hutter 2017)
//   linear    lr (1 - (1 - m) p)                       decay from the end of warm-up
//   wsd       lr, then linear over the last decay_steps: warm-up, stable, decay (Hu et al. 2024)
//   constant  lr
// After the decay the rate stays at lr m.
#pragma once

#include <cstdint>

#include "optim/config.h"

namespace drover {

// Throws Error{usage} naming the key: unknown schedule, a decay that does not fit behind the warm-up, ...
void validate(const OptimizerConfig& config, std::int64_t total_steps);

double learning_rate(const OptimizerConfig& config, std::int64_t step, std::int64_t total_steps);

}  // namespace drover
