#include "launch/run/inference.h"

#include <cstdio>

#include "checkpoint/checkpoint.h"
#include "checkpoint/read/named.h"
#include "checkpoint/write/attempts.h"
#include "model/initialise.h"

namespace drover {

namespace {

RunConfig read(FileSystem& files, const InferenceRequest& request) {
  RunConfig run = read_run_config(files, request.config);
  if (request.eval_sequences)
    run.config.eval.sequences = *request.eval_sequences;
  else
    run.config.data.holdout.clear();
  return run;
}

}  // namespace

Inference::Inference(Process& process, FileSystem& files, const InferenceRequest& request)
    : process_(process),
      files_(files),
      run_(read(files, request)),
      memory_(process.make_memory()),
      backend_(make_cpu_backend(*memory_, cpu_options(run_.config, process.compute_threads()))),
      platform_{.world = process.world(), .backend = *backend_, .host = *memory_, .files = files},
      training_(build_inference(run_.config, platform_)),
      trainer_(std::make_unique<Trainer>(*training_, platform_)) {
  load(request);
}

void Inference::load(const InferenceRequest& request) {
  process_.require_equal_on_all_ranks("configuration", write_run_config(run_.config));
  const ReadTogether from{
      .files = files_, .exec = trainer_->exec(), .world = process_.world(), .directory = {}};
  use_checkpoint(
      from, request.checkpoint.empty() ? newest_of_run() : request.checkpoint,
      [&](const std::string& warning) {
        if (process_.first()) std::fprintf(stderr, "warning: %s\n", warning.c_str());
      },
      [&](const std::filesystem::path& checkpoint) { load_weights(checkpoint); });
  refresh_working(trainer_->exec(), *training_->model.groups);
}

std::string Inference::newest_of_run() {
  const std::filesystem::path folder = std::filesystem::path(run_.config.run.dir) / "checkpoints";
  process_.on_first_rank([&] {
    if (accepted_checkpoints(files_, folder).empty())
      throw input_error("there is no checkpoint in ", folder.string(),
                        "; train first, or name one with --checkpoint");
    return std::string();
  });
  return folder.string();
}

void Inference::load_weights(const std::filesystem::path& checkpoint) {
  std::vector<StateEntry> weights = trainer_->state_entries();
  std::erase_if(weights, [](const StateEntry& entry) { return entry.slot != "weight"; });
  state_ = load_checkpoint(files_, trainer_->exec(), process_.world(), checkpoint, weights);
  refuse_changed_model(run_, state_.config, checkpoint.string());
  checkpoint_ = checkpoint;
}

}  // namespace drover
