#include "launch/run/report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace drover {

namespace {

// Three digits, in the unit that leaves one to three of them before the point.
std::string with_unit(double value, const std::array<const char*, 5>& units) {
  std::size_t unit = 0;
  while (std::abs(value) >= 1000 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f}{}", value, unit == 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0, units[unit]);
}

using Json = nlohmann::ordered_json;

// JSON has no infinities: null, and "finite": false beside it.
void add_number(Json& line, const char* key, double value) {
  if (std::isfinite(value)) {
    line[key] = value;
  } else {
    line[key] = nullptr;
    line["finite"] = false;
  }
}

Json holdout_json(const Evaluation& evaluation) {
  Json json;
  add_number(json, "eval_loss", evaluation.loss);
  add_number(json, "eval_bits_per_byte", evaluation.bits_per_byte);
  return json;
}

}  // namespace

double StepTiming::tokens_per_second(const StepReport& report) const {
  return static_cast<double>(report.batch_tokens) / step_seconds;
}

double StepTiming::mfu(const StepReport& report, const ModelConfig& model) const {
  if (peak_flops <= 0) return 0;
  return training_flops(model, report.batch_tokens, report.attended_pairs) / step_seconds / peak_flops;
}

std::string step_json(const StepReport& report, const StepTiming& timing, const ModelConfig& model) {
  Json line{
      {"time", timing.time}, {"attempt", timing.attempt}, {"step", report.step}, {"tokens", report.tokens}};
  add_number(line, "loss", report.loss);
  add_number(line, "grad_norm", report.grad_norm);
  line["lr"] = report.lr;
  line["step_seconds"] = timing.step_seconds;
  line["tokens_per_second"] = timing.tokens_per_second(report);
  line["mfu"] = timing.mfu(report, model);
  line["targets"] = report.targets;
  line["memory_peak_bytes"] = timing.memory_peak_bytes;
  line["skipped"] = false;
  return line.dump();
}

std::string evaluation_json(const Evaluation& evaluation, std::int64_t attempt, std::int64_t step,
                            double time) {
  Json line{{"time", time}, {"attempt", attempt}, {"step", step}};
  line.update(holdout_json(evaluation));
  return line.dump();
}

std::string result_json(const RunResult& result, const ModelConfig& model) {
  const ParameterCount parameters = count_parameters(model);
  Json json{{"exit_reason", result.exit_reason},
            {"step", result.step},
            {"total_steps", result.total_steps},
            {"tokens", result.tokens},
            {"parameters", parameters.total},
            {"parameters_without_embeddings",
             parameters.total - parameters.embedding * (model.tie_word_embeddings ? 1 : 2)},
            {"flops", result.flops},
            {"wall_seconds", result.wall_seconds},
            {"effective_seconds", result.effective_seconds}};
  if (!result.weight_hash.empty()) json["weight_hash"] = result.weight_hash;
  if (result.holdout) json.update(holdout_json(*result.holdout));
  return json.dump(2) + "\n";
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds < 60) return fmt::format("{:.1f}s", seconds);
  const auto whole = static_cast<std::int64_t>(seconds);
  if (whole < 3600) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{}h {:02}m", whole / 3600, whole / 60 % 60);
  return fmt::format("{}d {:02}h", whole / 86400, whole / 3600 % 24);
}

std::string quantity_text(double value) { return with_unit(value, {"", "k", "M", "B", "T"}); }

std::string bytes_text(std::int64_t bytes) {
  return with_unit(static_cast<double>(bytes), {"B", "kB", "MB", "GB", "TB"});
}

std::string progress_line(const StepReport& report, const StepTiming& timing, const ModelConfig& model,
                          const Progress& progress) {
  const double left = progress.seconds_per_step * static_cast<double>(progress.total_steps - report.step);
  return fmt::format(
      "step {}/{}  loss {:.4f}  {} tokens/s  MFU {:.1f} %  gradient norm {:.3g}  lr {:.2e}  {} left",
      report.step, progress.total_steps, report.loss, quantity_text(timing.tokens_per_second(report)),
      100 * timing.mfu(report, model), report.grad_norm, report.lr, duration_text(left));
}

}  // namespace drover
