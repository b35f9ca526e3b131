// Everything a run is configured by: one struct per component, declared here where the component has no
// settings of its own page. Read from YAML by launch/config/run_config.h; keys, defaults and meanings users see are
// generated from there into docs/config.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/tensor/dtype.h"
#include "data/store/synthetic.h"
#include "model/config.h"
#include "optim/config.h"

namespace drover {

struct RunSection {
  std::string name = "run";
  std::string dir;  // default: runs/<name>
  std::int64_t seed = 1;
};

struct SourceConfig {
  std::string store;  // path of a token store
  double weight = 1;
};

struct DataConfig {
  std::string tokenizer;  // path of tokenizer.json or a tiktoken .model
  std::vector<SourceConfig> sources;
  std::optional<SyntheticOptions> synthetic;  // instead of sources
  std::string holdout;                        // path of a token store; empty: no evaluation
  std::int64_t region_tokens = 64'000'000;    // a source is shuffled region by region
};

struct TrainConfig {
  std::string dtype = "bfloat16";  // bfloat16 | float32 | float64
  std::int64_t sequence_length = 0;
  std::int64_t batch_tokens = 0;
  std::int64_t microbatch_sequences = 1;
  std::optional<std::int64_t> steps;  // exactly one of steps and tokens
  std::optional<std::int64_t> tokens;
  std::string recompute = "none";  // none | selective | full
};

struct ParallelConfig {
  std::int64_t tensor = 1, context = 1, pipeline = 1, replicate = 1,
               shard = -1;  // shard -1: the rest of the ranks
  std::int64_t zero = 2;
  std::string schedule = "1f1b";
  std::int64_t virtual_stages = 1;
  std::optional<std::int64_t> stretch;
  std::string stage_layers = "balanced";
  std::string schedule_file;
  std::string context_pieces = "auto";
};

struct CheckpointConfig {
  std::int64_t every_steps = 500;  // 0 when `every` is a duration
  double every_seconds = 0;
  std::int64_t keep = 3;
};

struct EvalConfig {
  std::int64_t every = 500;     // steps; 0: only at the end
  std::int64_t sequences = 64;  // rows of the hold-out; 0: all of it
};

struct LaunchConfig {
  std::chrono::duration<double> timeout = std::chrono::minutes(10);  // parallel/comm/deadlines.h
};

struct PhaseConfig {
  std::int64_t from_tokens = 0;
  std::optional<std::int64_t> sequence_length, batch_tokens;
  std::optional<std::vector<SourceConfig>> sources;  // a subset of data.sources, with other weights
};

struct Config {
  RunSection run;
  std::string device = "auto";    // auto | cpu | cuda
  std::string cpu_path = "auto";  // auto, or a name of core/cpu/path.h
  ModelConfig model;
  DataConfig data;
  TrainConfig train;
  OptimizerConfig optimizer;
  ParallelConfig parallel;
  CheckpointConfig checkpoint;
  EvalConfig eval;
  LaunchConfig launch;
  std::vector<PhaseConfig> phases;
};

}  // namespace drover
