// What is said of an attempt while it trains: lines for people, and lines of metrics.jsonl.
#pragma once

#include <optional>

#include "launch/run/session.h"
#include "launch/run/stopwatch.h"
#include "launch/run/totals.h"

namespace drover {

// What does not change in an attempt.
struct ReportBasis {
  const Config& config;
  const Memory& memory;  // of this rank's run
  std::int64_t total_steps = 0;
  double peak_flops = 0;  // product peak of all ranks together, FLOP/s
};

class RunReports {
 public:
  // What is referred to outlives this.
  RunReports(RunSession& session, const ReportBasis& basis) : session_(session), basis_(basis) {}

  // What is about to be trained, where and by what.
  void introduce(const Mesh& mesh, int threads, const std::string& fingerprint);
  // A step that took so many seconds. People see it at once when it is the `last`, otherwise every ten seconds and on a
  // terminal's live line.
  void step(const StepReport& report, double seconds, bool last);
  void evaluation(const Evaluation& evaluation, std::int64_t step);

 private:
  RunSession& session_;
  ReportBasis basis_;
  std::optional<Stopwatch> since_line_;  // none: nothing said of this attempt's steps yet
  double seconds_per_step_ = 0;          // smoothed
};

}  // namespace drover
