#include "launch/inference.h"

#include <cstdio>

#include "checkpoint/checkpoint.h"
#include "model/initialise.h"

namespace drover {

namespace {

RunConfig read(FileSystem& files, const InferenceRequest& request) {
  RunConfig run = read_run_config(files, request.config);
  if (request.eval_sequences) run.config.eval.sequences = *request.eval_sequences;
  return run;
}

}  // namespace

Inference::Inference(Process& process, FileSystem& files, const InferenceRequest& request)
    : process_(process),
      files_(files),
      run_(read(files, request)),
      backend_(make_cpu_backend(memory_, {.threads = process.compute_threads()})),
      platform_{.world = process.world(), .backend = *backend_, .host = memory_, .files = files},
      training_(build_inference(run_.config, platform_)),
      trainer_(std::make_unique<Trainer>(*training_, platform_)) {
  load(request);
}

// What decides the model's function but not its shapes would otherwise go unnoticed.
void Inference::refuse_another_model() const {
  RunConfig trained;
  try {
    trained = read_run_config_text(state_.config, "the checkpoint's configuration");
  } catch (const Error&) {
    return;  // of another version: its tensors fit, and that is all that can be known
  }
  std::string list;
  for (const std::string& field : changed_on_resume(trained.fields, run_.fields))
    if (field.starts_with("model.")) list += "\n  " + field;
  if (!list.empty())
    throw usage_error("the configuration's model is not the one that ", checkpoint_.string(),
                      " was trained as:", list);
}

void Inference::load(const InferenceRequest& request) {
  process_.require_equal_on_all_ranks("configuration", write_run_config(run_.config));
  const Exec& exec = trainer_->exec();
  checkpoint_ = request.checkpoint;
  if (checkpoint_.empty()) {
    const std::filesystem::path folder = std::filesystem::path(run_.config.run.dir) / "checkpoints";
    const auto found =
        find_checkpoint(files_, exec, process_.world(), folder, [&](const std::string& warning) {
          if (process_.first()) std::fprintf(stderr, "warning: %s\n", warning.c_str());
        });
    if (!found)
      throw input_error("there is no checkpoint in ", folder.string(),
                        "; train first, or name one with --checkpoint");
    checkpoint_ = *found;
  }
  std::vector<StateEntry> weights = trainer_->state_entries();
  std::erase_if(weights, [](const StateEntry& entry) { return entry.slot != "weight"; });
  state_ = load_checkpoint(files_, exec, process_.world(), checkpoint_, weights);
  refuse_another_model();
  refresh_working(exec, *training_->groups);
}

}  // namespace drover
