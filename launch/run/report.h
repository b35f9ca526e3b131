// What is said of a run: lines of metrics.jsonl, result.json, progress for people. Pure functions of values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/config.h"
#include "train/trainer.h"

namespace drover {

// A step as measured.
struct StepTiming {
  std::int64_t attempt = 1;
  double time = 0;  // seconds since 1970
  double step_seconds = 0;
  double peak_flops = 0;               // product peak of all ranks together, FLOP/s; 0: unknown
  std::int64_t memory_peak_bytes = 0;  // of this rank

  double tokens_per_second(const StepReport& report) const;
  // FLOPs of attended pairs, recompute not counted, over the measured product peak.
  double mfu(const StepReport& report, const ModelConfig& model) const;
};

struct Evaluation {
  double loss = 0;           // nats per target
  double bits_per_byte = 0;  // of the hold-out's text
};

std::string step_json(const StepReport& report, const StepTiming& timing, const ModelConfig& model);
std::string evaluation_json(const Evaluation& evaluation, std::int64_t attempt, std::int64_t step,
                            double time);

struct RunResult {
  std::int64_t step = 0, total_steps = 0, tokens = 0;
  double flops = 0;  // this and the next two: of all attempts, as RunState counts them
  double effective_seconds = 0, wall_seconds = 0;
  std::string exit_reason;            // "done", "stopped by SIGUSR1", or the message of what failed
  std::string weight_hash;            // empty after a failure
  std::optional<Evaluation> holdout;  // at this step
};
std::string result_json(const RunResult& result, const ModelConfig& model);

// "step 120/2000  loss 4.2103  18.3k tokens/s  MFU 41.2 %  gradient norm 0.81  lr 3.0e-04  12m 40s left"
struct Progress {
  std::int64_t total_steps = 0;
  double seconds_per_step = 0;  // smoothed
};
std::string progress_line(const StepReport& report, const StepTiming& timing, const ModelConfig& model,
                          const Progress& progress);
std::string duration_text(double seconds);   // "3h 05m", "12m 40s", "8.2s"
std::string quantity_text(double value);     // "18.3k", "2.10M", "8.03B"
std::string bytes_text(std::int64_t bytes);  // "412B", "2.10MB", "80.0GB"

}  // namespace drover
