// `drover VERB ...`: parses, runs the verb, turns what it throws into a message and an exit code.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "core/cpu/cpu_backend.h"
#include "launch/build_identity.h"
#include "launch/commands.h"

namespace drover {
namespace {

constexpr const char* kHelp =
    R"(Drover pretrains Llama-class language models from one YAML file.

  drover train configs/tiny.yaml                  trains in seconds, needs no files
  mpirun -n 2 drover train configs/tiny.yaml      the same on two ranks
  drover VERB --help                              teaches each verb by example)";

// Verbs whose names are taken and whose work is not there yet.
void add_reserved(CLI::App& app, Verb& chosen) {
  for (const char* name : {"launch", "chaos", "status", "plan", "sweep", "monitor"}) {
    CLI::App* const verb = app.add_subcommand(name, "not yet");
    verb->allow_extras();
    verb->callback([name, &chosen] {
      chosen = [name]() -> Exit {
        throw usage_error("`drover ", name, "` is not there yet; docs/design.md says what is");
      };
    });
  }
}

std::string version_text() {
  HostMemory memory;
  return cat("drover ", build_version(), " (", build_commit(), ")\n", build_options(), "\n",
             make_cpu_backend(memory)->describe());
}

int run(int argc, char** argv) {
  CLI::App app{kHelp};
  app.set_version_flag("--version", version_text);
  app.require_subcommand(1);
  Verb chosen;
  add_config_command(app, chosen);
  add_data_commands(app, chosen);
  add_checkpoint_commands(app, chosen);
  add_train_command(app, chosen);
  add_eval_command(app, chosen);
  add_generate_command(app, chosen);
  add_verify_command(app, chosen);
  add_schedule_command(app, chosen);
  add_doctor_command(app, chosen);
  add_reserved(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? static_cast<int>(Exit::done) : static_cast<int>(Exit::usage);
  }
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
