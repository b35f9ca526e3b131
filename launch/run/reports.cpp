#include "launch/run/reports.h"

namespace drover {

namespace {

constexpr double kSmoothing = 0.1;  // weight of the newest step in the estimate of time left

}  // namespace

void RunReports::introduce(const Mesh& mesh, int threads, const std::string& fingerprint) {
  const Config& config = basis_.config;
  const ParameterCount parameters = count_parameters(config.model);
  session_.console().print(cat(config.run.name, ": ", quantity_text(static_cast<double>(parameters.total)),
                               " parameters, ", config.train.dtype, ", ", mesh.describe(), ", ZeRO-",
                               config.parallel.zero, ", ", threads, " threads a rank, ", fingerprint));
  session_.console().print(cat(session_.directory().path().string(), ", attempt ", session_.attempt(), ": ",
                               basis_.total_steps, " steps of ",
                               quantity_text(static_cast<double>(config.train.batch_tokens)),
                               " tokens; product peak ", quantity_text(basis_.peak_flops),
                               "FLOP/s; memory a rank ", bytes_text(basis_.memory.ledger().peak_total())));
}

void RunReports::step(const StepReport& report, double seconds, bool last) {
  const ModelConfig& model = basis_.config.model;
  const StepTiming timing{.attempt = session_.attempt(),
                          .time = seconds_since_1970(),
                          .step_seconds = seconds,
                          .peak_flops = basis_.peak_flops,
                          .memory_peak_bytes = basis_.memory.ledger().peak_total()};
  seconds_per_step_ =
      seconds_per_step_ == 0 ? seconds : seconds_per_step_ + kSmoothing * (seconds - seconds_per_step_);
  session_.append_metrics(step_json(report, timing, model));
  const std::string line = progress_line(
      report, timing, model, {.total_steps = basis_.total_steps, .seconds_per_step = seconds_per_step_});
  if (!last && since_line_ && since_line_->seconds() < kPlainLineSeconds)
    return session_.console().live(line);
  since_line_.emplace();
  session_.console().print(line);
}

void RunReports::evaluation(const Evaluation& evaluation, std::int64_t step) {
  session_.console().print(cat("step ", step, "  hold-out: ", evaluation.loss, " nats a token, ",
                               evaluation.bits_per_byte, " bits a byte"));
  session_.append_metrics(evaluation_json(evaluation, session_.attempt(), step, seconds_since_1970()));
}

}  // namespace drover
