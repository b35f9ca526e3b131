// A model with the weights of a checkpoint, for `eval` and `generate`.
#pragma once

#include <memory>
#include <optional>

#include "launch/config/run_config.h"
#include "launch/process/process.h"
#include "train/trainer.h"

namespace drover {

struct InferenceRequest {
  ConfigSource config;
  std::string
      checkpoint;  // as checkpoint/read/named.h says; empty: the newest in the run's folder that verifies
  // Rows of the hold-out, instead of the configuration's; 0: all. If not set nothing is evaluated, and no store opened.
  std::optional<std::int64_t> eval_sequences;
};

class Inference {
 public:
  // Collective. Error{input} when there is no checkpoint. Warnings go to standard error of rank 0.
  Inference(Process& process, FileSystem& files, const InferenceRequest& request);

  const Config& config() const { return run_.config; }
  Training& training() { return *training_; }
  Trainer& trainer() { return *trainer_; }
  const Platform& platform() const { return platform_; }
  const RunState& state() const { return state_; }
  const std::filesystem::path& checkpoint() const { return checkpoint_; }

 private:
  void load(const InferenceRequest& request);
  std::string newest_of_run();
  void load_weights(const std::filesystem::path& checkpoint);

  Process& process_;
  FileSystem& files_;
  RunConfig run_;
  std::unique_ptr<Memory> memory_;
  std::unique_ptr<Backend> backend_;
  Platform platform_;
  std::unique_ptr<Training> training_;
  std::unique_ptr<Trainer> trainer_;
  std::filesystem::path checkpoint_;
  RunState state_;
};

}  // namespace drover
