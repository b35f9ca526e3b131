// `drover VERB ...`: parses, runs the verb, turns what it throws into a message and an exit code.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "launch/commands.h"

namespace drover {
namespace {

int run(int argc, char** argv) {
  CLI::App app{"Drover pretrains Llama-class language models from one YAML file."};
  app.require_subcommand(1);
  Verb chosen;
  add_data_commands(app, chosen);
  CLI11_PARSE(app, argc, argv);
  return static_cast<int>(chosen());
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  try {
    return drover::run(argc, argv);
  } catch (const drover::Error& error) {
    std::fprintf(stderr, "drover: %s\n", error.what());
    return static_cast<int>(error.exit());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "drover: %s\n", error.what());
    return static_cast<int>(drover::Exit::internal);
  }
}
