// The learning rate as a function of the step, and what settings are refused.
#include "optim/schedule.h"

#include <cmath>

#include "optim/optimizer.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

OptimizerConfig config(const char* schedule) {
  OptimizerConfig c;
  c.lr = 0.5;
  c.schedule = schedule;
  c.warmup_steps = 10;
  c.min_lr_ratio = 0.2;
  return c;
}

}  // namespace

TEST_CASE("every schedule warms up in equal steps and then has the full rate") {
  for (const char* schedule : {"cosine", "linear", "wsd", "constant"}) {
    INFO(schedule);
    for (int step = 0; step < 10; ++step)
      CHECK(learning_rate(config(schedule), step, 110) == Approx(0.05 * (step + 1)).epsilon(1e-15));
    CHECK(learning_rate(config(schedule), 10, 110) == 0.5);
  }
}

TEST_CASE("cosine and linear fall from the end of warm-up to the least rate at the end of the run") {
  for (int step : {10, 35, 60, 85, 110, 500}) {
    const double progress = std::min(1.0, (step - 10) / 100.0);
    CHECK(learning_rate(config("cosine"), step, 110) ==
          Approx(0.1 + 0.4 * (1 + std::cos(std::acos(-1.0) * progress)) / 2).epsilon(1e-14));
    CHECK(learning_rate(config("linear"), step, 110) == Approx(0.5 - 0.4 * progress).epsilon(1e-14));
  }
}

TEST_CASE("warm-up, stable, decay falls linearly over its last steps, by default a tenth of the run") {
  OptimizerConfig c = config("wsd");
  CHECK(learning_rate(c, 180, 200) == 0.5);
  CHECK(learning_rate(c, 190, 200) == Approx(0.3).epsilon(1e-14));
  c.decay_steps = 100;
  CHECK(learning_rate(c, 100, 200) == 0.5);
  CHECK(learning_rate(c, 150, 200) == Approx(0.3).epsilon(1e-14));
  CHECK(learning_rate(c, 200, 200) == Approx(0.1).epsilon(1e-14));
}

TEST_CASE("a decay shorter than the run ends at the least rate and stays there") {
  OptimizerConfig c = config("cosine");
  c.decay_steps = 40;
  CHECK(learning_rate(c, 30, 110) == Approx(0.3).epsilon(1e-14));
  CHECK(learning_rate(c, 50, 110) == Approx(0.1).epsilon(1e-14));
  CHECK(learning_rate(c, 100, 110) == Approx(0.1).epsilon(1e-14));
}

TEST_CASE("a constant rate stays") { CHECK(learning_rate(config("constant"), 109, 110) == 0.5); }

TEST_CASE("what cannot be is refused with its key, its value and what can be") {
  OptimizerConfig c = config("cosine");
  CHECK_NOTHROW(validate(c, 110));
  c.lr = -1;
  CHECK_THROWS_WITH(validate(c, 110), Catch::Contains("optimizer.lr is -1"));
  c = config("polynomial");
  CHECK_THROWS_WITH(validate(c, 110),
                    Catch::Contains("'polynomial'") && Catch::Contains("cosine, linear, wsd"));
  c = config("wsd");
  c.decay_steps = 101;
  CHECK_THROWS_WITH(validate(c, 110),
                    Catch::Contains("optimizer.decay_steps is 101") && Catch::Contains("1 to 100"));
  c = config("linear");
  c.betas[1] = 1;
  CHECK_THROWS_WITH(validate(c, 110), Catch::Contains("optimizer.betas[1] is 1"));
}

TEST_CASE("gradients are divided by the targets and clipped by the norm of the mean") {
  // 5 targets, summed gradient of norm 30: the mean's norm is 6.
  CHECK(gradient_scale(900, 5, 0).norm == 6);
  CHECK(gradient_scale(900, 5, 0).factor == Approx(1.0 / 5));
  CHECK(gradient_scale(900, 5, 7).factor == Approx(1.0 / 5));
  CHECK(gradient_scale(900, 5, 2).factor == Approx(1.0 / 5 * 2 / 6));
  CHECK(gradient_scale(900, 5, 2).norm == 6);
}

TEST_CASE("a step without targets has no gradient") {
  CHECK(gradient_scale(0, 0, 1).factor == 0);
  CHECK(gradient_scale(0, 0, 1).norm == 0);
}

}  // namespace drover
