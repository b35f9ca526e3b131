#include <CLI/CLI.hpp>
#include <cstdio>

#include "launch/commands/commands.h"
#include "launch/commands/verify_report.h"
#include "launch/config/run_config.h"
#include "launch/process/process.h"

namespace drover {

namespace {

struct VerifyArguments {
  ConfigSource config;
  std::string layouts = "all", dtype, comm = "local", report, bug;
  std::vector<int> ranks{1, 2, 4};
  int steps = 3;
  bool list_faults = false;
};

constexpr const char* kHelp =
    R"(Trains one process first, then each layout from the same configuration, and compares losses, every gradient and
the weights (docs/verify.md). A row a layout; a layout that cannot be run is refused with its reason.

  drover verify configs/verify.yaml --layouts tp2.cp2:zero3,pp4:zb-v
  drover verify configs/verify.yaml --layouts all --ranks 1,2,4,8 --report verify.json
  mpirun -n 4 drover verify configs/verify.yaml --comm mpi --ranks 4
  drover verify configs/verify.yaml --layouts shard2.rep2 --inject segment-edge-off-by-one

A layout is written tp2.cp2.pp2.shard2.rep2:zb-h1:zero3:v2:n4: axes (those of 1 may be left out), schedule (gpipe, 1f1b,
interleaved, zb-h1, zb-v; 1f1b), ZeRO policy (the configuration's), chunks of a rank (2 for interleaved and zb-v, else
1), microbatches of a run (the pipeline's size). `all` is every factorisation of --ranks into the five axes, with every
schedule where there is a pipeline and every ZeRO policy where context x shard > 1.

Exit codes: 0 all layouts that were not refused compute the same (with --inject: all of them caught the bug); 2 the
configuration proves nothing or every layout was refused; 70 some layout differs, failed, or missed the bug.)";

Exit list_faults() {
  for (const BugInfo& bug : known_bugs())
    std::printf("%-36s %s (%s)\n", std::string(bug.name).c_str(), std::string(bug.meaning).c_str(),
                std::string(bug.needs).c_str());
  return Exit::done;
}

std::vector<VerifyLayout> chosen_layouts(const VerifyArguments& arguments) {
  if (arguments.layouts != "all") return parse_layouts(arguments.layouts);
  std::vector<VerifyLayout> layouts;
  for (const int ranks : arguments.ranks)
    for (const VerifyLayout& layout : all_layouts(ranks)) layouts.push_back(layout);
  return layouts;
}

// Longer than one process takes for some steps of anything: for the ranks that have nothing to do meanwhile.
constexpr std::chrono::hours kLongestRun{24 * 7};

// Threads of this process, or the processes that mpirun started.
VerifyRunner make_runner(const VerifyArguments& arguments, Process& process, Communicator& meeting,
                         FileSystem& files) {
  Communicator& world = process.world();
  if (arguments.comm == "mpi")
    return [&](int ranks, const VerifyWork& work) {
      if (ranks > world.size())
        throw usage_error("needs ", ranks, " processes, mpirun started ", world.size());
      return record_run_of_processes({.world = world,
                                      .meeting = meeting,
                                      .control = process.control(),
                                      .files = files,
                                      .make_memory = [&] { return process.make_memory(); }},
                                     ranks, work);
    };
  if (world.size() > 1)
    throw usage_error("--comm local runs all ranks in one process, but ", world.size(),
                      " processes were started; leave mpirun out or give --comm mpi");
  return
      [&](int ranks, const VerifyWork& work) { return std::optional(record_local_run(ranks, files, work)); };
}

class VerifyCommand {
 public:
  VerifyCommand(const VerifyArguments& arguments, Process& process, FileSystem& files)
      : arguments_(arguments),
        process_(process),
        files_(files),
        meeting_(process.world_with(kLongestRun)),
        layouts_(chosen_layouts(arguments)),
        config_(read_run_config(files, arguments.config).config),
        subject_{.config = arguments.config.path,
                 .dtype = config_.train.dtype,
                 .comm = arguments.comm,
                 .steps = arguments.steps} {
    if (!arguments.bug.empty()) subject_.bug = bug_named(arguments.bug);
    if (total_steps(config_) < arguments.steps)
      throw usage_error("--steps is ", arguments.steps, ", the configuration trains ", total_steps(config_));
    config_.data.holdout.clear();  // nothing is evaluated
  }

  Exit run() {
    process_.require_equal_on_all_ranks("configuration", write_run_config(config_));
    const Verifier verifier(
        config_, make_runner(arguments_, process_, *meeting_, files_),
        {.steps = arguments_.steps, .bug = subject_.bug, .survives_throw = arguments_.comm == "local"});
    say([&] { return verify_reference_line(subject_, *verifier.reference()); });
    for (const VerifyLayout& layout : layouts_) {
      rows_.push_back(verifier.verify(layout));
      say([&] { return verify_row_text(rows_.back(), arguments_.steps); });
    }
    meeting_->barrier(process_.control()).join();  // after the last run, whoever took part
    return static_cast<Exit>(std::stoi(process_.on_first_rank([&] { return conclude(verifier); })));
  }

 private:
  template <class Text>
  void say(Text text) const {
    if (!process_.first()) return;
    std::printf("%s\n", std::string(text()).c_str());
    std::fflush(stdout);
  }

  // The exit code, as text.
  std::string conclude(const Verifier& verifier) const {
    if (!arguments_.report.empty())
      write_text_atomically(files_, arguments_.report, verify_json(subject_, *verifier.reference(), rows_));
    const std::vector<std::string> trivial = verifier.trivialities();
    for (const std::string& reason : trivial) say([&] { return "proves nothing: " + reason; });
    const VerifyCount counted = count(rows_);
    say([&] { return verify_count_text(counted, subject_.bug); });
    return cat(static_cast<int>(exit_of(counted, !trivial.empty(), subject_.bug.has_value())));
  }

  const VerifyArguments& arguments_;
  Process& process_;
  FileSystem& files_;
  std::unique_ptr<Communicator> meeting_;
  std::vector<VerifyLayout> layouts_;
  Config config_;
  VerifySubject subject_;
  std::vector<VerifyRow> rows_;
};

Exit run(VerifyArguments arguments) {
  if (arguments.list_faults) return list_faults();
  if (arguments.config.path.empty()) throw usage_error("give the YAML file of a configuration");
  if (!arguments.dtype.empty()) arguments.config.overrides.push_back("train.dtype=" + arguments.dtype);
  PosixFileSystem files;
  Process process(launch_timeout(files, arguments.config));
  return run_as_ranks(process, [&] { return VerifyCommand(arguments, process, files).run(); });
}

}  // namespace

void add_verify_command(CLI::App& app, Verb& chosen) {
  const auto arguments = std::make_shared<VerifyArguments>();
  CLI::App* const verb = app.add_subcommand("verify", "prove that layouts compute what one process computes");
  verb->footer(kHelp);
  verb->add_option("CONFIG", arguments->config.path, "YAML file");
  verb->add_option("--set", arguments->config.overrides, "other values: section.key=value ...");
  verb->add_option("--layouts", arguments->layouts, "all, or layouts separated by commas")
      ->capture_default_str();
  verb->add_option("--ranks", arguments->ranks,
                   "numbers of ranks for `all`, separated by commas; default 1,2,4")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  verb->add_option("--steps", arguments->steps, "steps to train")
      ->check(CLI::Range(2, 20))
      ->capture_default_str();
  verb->add_option("--dtype", arguments->dtype, "instead of train.dtype")
      ->check(CLI::IsMember({"float64", "float32", "bfloat16"}));
  verb->add_option("--comm", arguments->comm, "local: ranks are threads; mpi: the processes of mpirun")
      ->check(CLI::IsMember({"local", "mpi"}))
      ->capture_default_str();
  verb->add_option("--report", arguments->report, "JSON file to write");
  verb->add_option("--inject", arguments->bug, "a known bug to plant in every layout's run");
  verb->add_flag("--list-faults", arguments->list_faults, "the bugs that can be planted");
  verb->callback([arguments, &chosen] { chosen = [arguments] { return run(*arguments); }; });
}

}  // namespace drover
