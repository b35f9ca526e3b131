// drover config: what a configuration says, with where each value came from.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "launch/commands/commands.h"
#include "launch/config/run_config.h"

namespace drover {

namespace {

struct ConfigArguments {
  ConfigSource source;
  bool docs = false;
};

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

Exit show_config(const ConfigArguments& arguments) {
  if (arguments.docs) {
    print(document_run_config());
    return Exit::done;
  }
  if (arguments.source.path.empty())
    throw usage_error("config: which file? For example: drover config configs/tiny.yaml");
  PosixFileSystem files;
  const RunConfig run = read_run_config(files, arguments.source);
  print(write_config_with_origins(run.fields));
  for (const std::string& warning : run.warnings)
    std::fprintf(stderr, "drover: warning: %s\n", warning.c_str());
  return Exit::done;
}

}  // namespace

void add_config_command(CLI::App& app, Verb& chosen) {
  auto arguments = std::make_shared<ConfigArguments>();
  CLI::App* verb =
      app.add_subcommand("config", "Check a configuration; show every value and where it came from");
  verb->footer(
      "Prints YAML that means the same as the configuration, with the origin of each value as a comment.\n"
      "Example: drover config configs/tiny.yaml --set optimizer.lr=1.0e-3 train.steps=100");
  verb->add_option("config", arguments->source.path, "YAML file of the run")->type_name("CONFIG");
  verb->add_option("--set", arguments->source.overrides, "other values: section.key=value ...");
  verb->add_flag("--docs", arguments->docs,
                 "print docs/config.md instead: every key, its default and meaning");
  verb->callback([arguments, &chosen] { chosen = [arguments] { return show_config(*arguments); }; });
}

}  // namespace drover
