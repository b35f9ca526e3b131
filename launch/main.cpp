// `drover VERB ...`: parses, runs the verb, turns what it throws into a message and an exit code.
#include <CLI/CLI.hpp>

#include "core/config/catalogue.h"
#include "core/cpu/cpu_backend.h"
#include "launch/commands/commands.h"
#include "launch/process/build_identity.h"
#include "launch/process/process.h"

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
             library_versions(), "\n", make_cpu_backend(memory)->describe());
}

// The verb as far as it was understood, such as "data" of "data prepair".
struct Understood {
  const CLI::App* verb;
  std::string words;  // " data prepare"
};

Understood understood(const CLI::App& app) {
  Understood so_far{.verb = &app};
  while (!so_far.verb->get_subcommands().empty()) {
    so_far.verb = so_far.verb->get_subcommands().front();
    so_far.words += " " + so_far.verb->get_name();
  }
  return so_far;
}

std::string verbs_of(const CLI::App& app) {
  std::string names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    names += verb->get_name() + " ";
  return names;
}

Error wrong_usage(const CLI::App& app, const CLI::ParseError& error) {
  const auto [verb, words] = understood(app);
  const std::string verbs = verbs_of(*verb);
  const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
  if (!verbs.empty() && !unknown.empty() && !unknown.front().starts_with('-'))
    return usage_error("there is no verb `drover", words, ' ', unknown.front(), '`',
                       remedy_for_choice(verbs.c_str(), unknown.front()));
  std::string problem = error.what();
  problem.erase(problem.find_last_not_of(" .\n") + 1);
  return usage_error(words.empty() ? "" : words.substr(1) + ": ", problem, "; `drover", words,
                     " --help` shows what it takes, with examples");
}

Exit run(int argc, char** argv) {
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
  add_bench_commands(app, chosen);
  add_reserved(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) throw wrong_usage(app, error);
    app.exit(error);  // --help, --version
    return Exit::done;
  }
  return chosen();
}

// Of a verb that has not started ranks yet, or never does: under mpirun every one of them is here.
Exit fail_as_ranks(const std::exception_ptr& failure) {
  Process process;
  return run_as_ranks(process, [&]() -> Exit { std::rethrow_exception(failure); });
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  using namespace drover;
  try {
    return static_cast<int>(run(argc, argv));
  } catch (const std::exception&) {
    return static_cast<int>(fail_as_ranks(std::current_exception()));
  }
}
