#include <CLI/CLI.hpp>

#include "launch/commands.h"
#include "launch/train_run.h"

namespace drover {

namespace {

struct TrainArguments {
  std::string config;
  std::vector<std::string> overrides;
  bool fresh = false;
  std::optional<std::int64_t> resume_from;
};

constexpr const char* kHelp =
    R"(Goes on with the run where its folder holds one.

  drover train configs/tiny.yaml
  mpirun -n 2 drover train configs/tiny.yaml --set run.dir=runs/two train.steps=50
  srun --mpi=pmix drover train configs/tiny.yaml

SIGUSR1, SIGTERM or SIGINT to any rank saves and stops with exit code 75: run the same command again to go on, on
any number of ranks. Exit codes: 0 done, 2 usage or configuration, 3 bad input, 70 internal error, 75 saved and
stopped early, 77 diverged.)";

Exit run(const TrainArguments& arguments) {
  Process process;
  PosixFileSystem files;
  return run_as_ranks(process, [&] {
    return run_training(process, files,
                        {.config = {.path = arguments.config, .overrides = arguments.overrides},
                         .folder = arguments.fresh ? RunFolder::must_be_new : RunFolder::may_hold_a_run,
                         .resume_from = arguments.resume_from});
  });
}

}  // namespace

void add_train_command(CLI::App& app, Verb& chosen) {
  const auto arguments = std::make_shared<TrainArguments>();
  CLI::App* const verb = app.add_subcommand("train", "train the run of a configuration");
  verb->footer(kHelp);
  verb->add_option("CONFIG", arguments->config, "YAML file")->required();
  verb->add_option("--set", arguments->overrides, "other values: section.key=value ...");
  verb->add_flag("--fresh", arguments->fresh, "refuse a run.dir that holds a run");
  verb->add_option("--resume-from", arguments->resume_from, "step of a checkpoint; newer ones are set aside")
      ->check(CLI::NonNegativeNumber);
  verb->callback([arguments, &chosen] { chosen = [arguments] { return run(*arguments); }; });
}

}  // namespace drover
