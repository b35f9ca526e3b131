// Optimizer and learning-rate settings: the `optimizer:` section.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace drover {

struct OptimizerConfig {
  double lr = 3e-4;  // peak learning rate
  std::array<double, 2> betas{0.9, 0.95};
  double eps = 1e-5;
  double weight_decay = 0.1;        // on matrices only
  double clip_norm = 1.0;           // 0: no clipping
  std::string schedule = "cosine";  // cosine | linear | wsd | constant
  std::int64_t warmup_steps = 100;
  std::optional<std::int64_t> decay_steps;  // unset: to the end of the run (wsd: a tenth of it)
  double min_lr_ratio = 0.1;                // of lr, reached at the end of the decay
};

}  // namespace drover
