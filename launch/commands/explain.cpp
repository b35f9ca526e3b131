// drover data explain: who trains what in a step of a configuration.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "data/batch/explain.h"
#include "launch/commands/commands.h"
#include "launch/config/run_config.h"
#include "train/training.h"

namespace drover {

namespace {

constexpr const char* kHelp =
    R"(Reads where documents of the configuration's sources begin, no tokens, and trains nothing. docs/context_parallel.md
says how rows are dealt and cut.
Example: the third step on 8 ranks, two to a row
  drover data explain configs/tiny.yaml --set parallel.context=2 --ranks 8 --step 3)";

struct ExplainArguments {
  ConfigSource source;
  int ranks = 1;
  std::int64_t step = 1;
};

Exit explain(const ExplainArguments& arguments) {
  PosixFileSystem files;
  const Config config = read_run_config(files, arguments.source).config;
  const Mesh mesh = mesh_of(config, arguments.ranks);
  if (arguments.step > total_steps(config))
    throw usage_error("--step ", arguments.step, ": the run has steps 1 to ", total_steps(config));
  const auto sources = open_sources(config, files);
  LoaderOptions options = loader_options(config, mesh, {});
  for (const auto& source : sources) options.sources.push_back(source.get());
  std::fputs(explain_step(options, arguments.step).c_str(), stdout);
  return Exit::done;
}

}  // namespace

void add_explain_command(CLI::App& data, Verb& chosen) {
  const auto arguments = std::make_shared<ExplainArguments>();
  CLI::App* const verb =
      data.add_subcommand("explain", "show which rank trains which rows of a step, and how even ranks are");
  verb->footer(kHelp);
  verb->add_option("CONFIG", arguments->source.path, "YAML file")->required();
  verb->add_option("--set", arguments->source.overrides, "other values: section.key=value ...");
  verb->add_option("--ranks", arguments->ranks, "of the run")->required()->check(CLI::PositiveNumber);
  verb->add_option("--step", arguments->step, "from 1")->check(CLI::PositiveNumber)->capture_default_str();
  verb->callback([arguments, &chosen] { chosen = [arguments] { return explain(*arguments); }; });
}

}  // namespace drover
