#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/error.h"

namespace drover {

namespace {

void require(bool holds, const char* key, double value, const char* rule) {
  if (!holds) throw usage_error("optimizer.", key, " is ", value, "; it must be ", rule);
}

// Where the decay begins and how long it takes, in steps.
struct Decay {
  std::int64_t begin = 0, steps = 1;
};

Decay decay_of(const OptimizerConfig& config, std::int64_t total_steps) {
  if (config.schedule == "wsd") {
    const std::int64_t steps = config.decay_steps.value_or(std::max<std::int64_t>(total_steps / 10, 1));
    return {.begin = total_steps - steps, .steps = steps};
  }
  const std::int64_t rest = std::max<std::int64_t>(total_steps - config.warmup_steps, 1);
  return {.begin = config.warmup_steps, .steps = config.decay_steps.value_or(rest)};
}

}  // namespace

void validate(const OptimizerConfig& c, std::int64_t total_steps) {
  require(c.lr > 0 && std::isfinite(c.lr), "lr", c.lr, "positive");
  require(c.betas[0] >= 0 && c.betas[0] < 1, "betas[0]", c.betas[0], "in [0, 1)");
  require(c.betas[1] >= 0 && c.betas[1] < 1, "betas[1]", c.betas[1], "in [0, 1)");
  require(c.eps > 0, "eps", c.eps, "positive");
  require(c.weight_decay >= 0, "weight_decay", c.weight_decay, "at least 0");
  require(c.clip_norm >= 0, "clip_norm", c.clip_norm, "positive, or 0 for no clipping");
  require(c.min_lr_ratio >= 0 && c.min_lr_ratio <= 1, "min_lr_ratio", c.min_lr_ratio, "in [0, 1]");
  if (c.schedule != "cosine" && c.schedule != "linear" && c.schedule != "wsd" && c.schedule != "constant")
    throw usage_error("optimizer.schedule is '", c.schedule, "'; use cosine, linear, wsd or constant");
  require(c.warmup_steps >= 0, "warmup_steps", static_cast<double>(c.warmup_steps), "at least 0");
  if (c.decay_steps && (*c.decay_steps < 1 || c.warmup_steps + *c.decay_steps > total_steps))
    throw usage_error("optimizer.decay_steps is ", *c.decay_steps, "; with ", c.warmup_steps,
                      " warm-up steps in a run of ", total_steps, " it can be 1 to ",
                      total_steps - c.warmup_steps);
}

double learning_rate(const OptimizerConfig& c, std::int64_t step, std::int64_t total_steps) {
  if (step < c.warmup_steps)
    return c.lr * static_cast<double>(step + 1) / static_cast<double>(c.warmup_steps);
  if (c.schedule == "constant") return c.lr;
  const Decay decay = decay_of(c, total_steps);
  const double p =
      std::clamp(static_cast<double>(step - decay.begin) / static_cast<double>(decay.steps), 0.0, 1.0);
  const double left = c.schedule == "cosine" ? (1 + std::cos(std::numbers::pi * p)) / 2 : 1 - p;
  return c.lr * (c.min_lr_ratio + (1 - c.min_lr_ratio) * left);
}

}  // namespace drover
