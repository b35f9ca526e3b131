#include <CLI/CLI.hpp>
#include <cstdio>

#include "launch/commands/commands.h"
#include "launch/hugging_face/checkpoint_tokenizer.h"
#include "launch/run/inference.h"

namespace drover {

namespace {

constexpr const char* kHelp =
    R"(Prints the mean loss in nats a token, and bits per byte of the hold-out's text.

  drover eval configs/quickstart.yaml
  mpirun -n 2 drover eval configs/quickstart.yaml --checkpoint runs/quickstart:step_200)";

Exit run(InferenceRequest request) {
  PosixFileSystem files;
  Process process(launch_timeout(files, request.config));
  return run_as_ranks(process, [&] {
    Inference model(process, files, request);
    if (!model.training().data.holdout)
      throw usage_error("data.holdout is not set in ", request.config.path,
                        "; name a token store to evaluate on");
    check_holdout_of(model.state(), *model.training().data.holdout_source, model.config().data.holdout);
    const double loss = model.trainer().evaluate([] { return false; }).value();
    const Holdout& holdout = *model.training().data.holdout;
    if (process.first())
      std::printf("%s: step %lld, %lld rows of %lld tokens: loss %.6f nats a token, %.6f bits per byte\n",
                  model.checkpoint().c_str(), static_cast<long long>(model.state().step),
                  static_cast<long long>(holdout.rows()),
                  static_cast<long long>(model.config().train.sequence_length), loss,
                  holdout.bits_per_byte(loss));
    return Exit::done;
  });
}

}  // namespace

void add_eval_command(CLI::App& app, Verb& chosen) {
  const auto request = std::make_shared<InferenceRequest>();
  request->eval_sequences = 0;
  CLI::App* const verb = app.add_subcommand("eval", "evaluate a checkpoint on the hold-out");
  verb->footer(kHelp);
  verb->add_option("CONFIG", request->config.path, "YAML file of the run")->required();
  verb->add_option("--set", request->config.overrides, "other values: section.key=value ...");
  verb->add_option("--checkpoint", request->checkpoint,
                   "RUN, RUN:step_N or a step's folder; default: the run's newest that verifies");
  verb->add_option("--sequences", request->eval_sequences,
                   "rows of the hold-out, evenly spaced; default 0: all")
      ->check(CLI::NonNegativeNumber);
  verb->callback([request, &chosen] { chosen = [request] { return run(*request); }; });
}

}  // namespace drover
