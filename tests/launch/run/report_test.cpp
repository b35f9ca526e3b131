#include "launch/run/report.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/support/test_support.h"

using namespace drover;

namespace {

ModelConfig model() {
  return {.hidden_size = 8,
          .num_hidden_layers = 1,
          .num_attention_heads = 2,
          .num_key_value_heads = 1,
          .intermediate_size = 16,
          .vocab_size = 32,
          .tie_word_embeddings = true};
}

StepReport step() {
  return {.step = 3,
          .tokens = 300,
          .batch_tokens = 100,
          .targets = 90,
          .attended_pairs = 500,
          .loss = 2.5,
          .grad_norm = 0.75,
          .lr = 1e-3};
}

StepTiming timing() {
  return {.attempt = 2, .time = 1.5, .step_seconds = 0.5, .peak_flops = 1e9, .memory_peak_bytes = 4096};
}

}  // namespace

TEST_CASE("a step's line in metrics.jsonl has every key that is promised") {
  const auto line = nlohmann::json::parse(step_json(step(), timing(), model()));
  for (const char* key : {"time", "attempt", "step", "tokens", "loss", "grad_norm", "lr", "step_seconds",
                          "tokens_per_second", "mfu", "targets", "memory_peak_bytes", "skipped"})
    CHECK(line.contains(key));
  CHECK(line["attempt"] == 2);
  CHECK(line["step"] == 3);
  CHECK(line["loss"] == 2.5);
  CHECK(line["tokens_per_second"] == 200);
  CHECK_FALSE(line.contains("finite"));
}

TEST_CASE("a number that is none is null and said to be so") {
  StepReport report = step();
  report.loss = std::numeric_limits<double>::quiet_NaN();
  const auto line = nlohmann::json::parse(step_json(report, timing(), model()));
  CHECK(line["loss"].is_null());
  CHECK(line["finite"] == false);
}

TEST_CASE("MFU counts attended pairs once and no recompute") {
  // 6 FLOPs a multiplied parameter and token, 12 E H L a pair, over peak x seconds.
  const double matmul = 8 * 4 * (2 * 2 + 2 * 1) + 3 * 8 * 16 + 32 * 8;
  const double flops = 6 * matmul * 100 + 12 * 4 * 2 * 1 * 500.0;
  CHECK(timing().mfu(step(), model()) == Approx(flops / 0.5 / 1e9));
  CHECK(StepTiming{.step_seconds = 1}.mfu(step(), model()) == 0);
}

TEST_CASE("durations and quantities read as people say them") {
  CHECK(duration_text(8.24) == "8.2s");
  CHECK(duration_text(760) == "12m 40s");
  CHECK(duration_text(11100) == "3h 05m");
  CHECK(duration_text(200000) == "2d 07h");
  CHECK(duration_text(std::nan("")) == "?");
  CHECK(quantity_text(950) == "950");
  CHECK(quantity_text(18300) == "18.3k");
  CHECK(quantity_text(2.1e6) == "2.10M");
}

TEST_CASE("result.json counts a tied embedding once") {
  const auto result =
      nlohmann::json::parse(result_json({.step = 5, .total_steps = 5, .exit_reason = "done"}, model()));
  CHECK(result["parameters"].get<int>() - result["parameters_without_embeddings"].get<int>() == 32 * 8);
  CHECK(result["exit_reason"] == "done");
  CHECK_FALSE(result.contains("eval_loss"));
}
