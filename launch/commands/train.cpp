#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "launch/commands/commands.h"
#include "launch/commands/dry_train.h"
#include "launch/config/run_config.h"
#include "launch/run/train_run.h"

namespace drover {

namespace {

struct TrainArguments {
  std::string config;
  std::vector<std::string> overrides;
  bool fresh = false;
  std::optional<std::int64_t> resume_from;
  std::string profile;
  bool dry = false;
  int dry_ranks = 0;  // 0: those that were started
};

constexpr const char* kHelp =
    R"(Goes on with the run where its folder holds one.

  drover train configs/tiny.yaml
  mpirun -n 2 drover train configs/tiny.yaml --set run.dir=runs/two train.steps=50
  srun --mpi=pmix drover train configs/tiny.yaml
  drover train configs/llama3-8b.yaml --dry-run --ranks 64      memory, FLOPs and traffic of every rank

SIGUSR1, SIGTERM or SIGINT to any rank saves and stops with exit code 75: run the same command again to go on, on
any number of ranks. Exit codes: 0 done, 2 usage or configuration, 3 bad input, 70 internal error, 74 a rank was lost,
75 saved and stopped early, 77 diverged.)";

// One process does it for all ranks. Their threads are what is left of this host's when it runs all of them.
Exit dry_run(Process& process, FileSystem& files, const TrainArguments& arguments) {
  const int started = process.world().size();
  const int ranks = arguments.dry_ranks > 0 ? arguments.dry_ranks : started;
  const int threads = std::max(1, process.compute_threads() * started / ranks);
  const std::string text = process.on_first_rank([&] {
    return dry_train(files,
                     read_run_config(files, {.path = arguments.config, .overrides = arguments.overrides}),
                     {.ranks = ranks, .threads = threads});
  });
  if (process.first()) std::fputs(text.c_str(), stdout);
  return Exit::done;
}

Exit run(const TrainArguments& arguments) {
  PosixFileSystem files;
  const ConfigSource config{.path = arguments.config, .overrides = arguments.overrides};
  Process process(launch_timeout(files, config));
  return run_as_ranks(process, [&] {
    if (arguments.dry) return dry_run(process, files, arguments);
    return run_training(process, files,
                        {.config = config,
                         .folder = arguments.fresh ? RunFolder::must_be_new : RunFolder::may_hold_a_run,
                         .resume_from = arguments.resume_from,
                         .profile = arguments.profile});
  });
}

// "step_0000000500" and "500" are the number 500, which CLI11 would read as octal with zeros before it.
std::string step_number(std::string text) {
  if (text.starts_with("step_")) text.erase(0, std::strlen("step_"));
  return text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));  // the last digit stays
}

}  // namespace

void add_train_command(CLI::App& app, Verb& chosen) {
  const auto arguments = std::make_shared<TrainArguments>();
  CLI::App* const verb = app.add_subcommand("train", "train the run of a configuration");
  verb->footer(kHelp);
  verb->add_option("CONFIG", arguments->config, "YAML file")->required();
  verb->add_option("--set", arguments->overrides, "other values: section.key=value ...");
  verb->add_flag("--fresh", arguments->fresh, "refuse a run.dir that holds a run");
  verb->add_option("--resume-from", arguments->resume_from,
                   "a checkpoint, as 500 or step_0000000500; newer ones are set aside")
      ->transform(step_number)
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--profile", arguments->profile,
                   "file for the second step's timeline of all ranks; open it in https://ui.perfetto.dev");
  CLI::Option* const dry = verb->add_flag(
      "--dry-run", arguments->dry, "train nothing, print what every rank would hold, compute and send");
  verb->add_option("--ranks", arguments->dry_ranks, "of the dry run; otherwise those that were started")
      ->check(CLI::PositiveNumber)
      ->needs(dry);
  verb->callback([arguments, &chosen] { chosen = [arguments] { return run(*arguments); }; });
}

}  // namespace drover
