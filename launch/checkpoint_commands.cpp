// `drover checkpoint inspect | verify | hash`: one process, whatever wrote the checkpoint.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/directory.h"
#include "checkpoint/inspect.h"
#include "core/cpu/cpu_backend.h"
#include "launch/commands.h"
#include "parallel/local_comm.h"

namespace drover {
namespace {

constexpr const char* kOneHelp =
    "a step_N directory, a folder of them, or a run directory: of several, the newest that verifies";
constexpr const char* kAllHelp = "step_N directories, folders of them, or run directories: all of them";

// What checkpoint functions are given, for a program of one rank.
struct OneRank {
  PosixFileSystem files;
  HostMemory memory;
  std::unique_ptr<Backend> backend = make_cpu_backend(memory);
  std::unique_ptr<Communicator> world = single_rank_world();
  Arena scratch;
  Exec exec{.backend = *backend, .scratch = scratch};
};

void warn(const std::string& text) { std::fprintf(stderr, "drover: %s\n", text.c_str()); }

std::filesystem::path chosen_checkpoint(OneRank& rank, const std::string& named) {
  const auto folder = checkpoint_folder(rank.files, named);
  if (!folder) return named;
  const auto newest = find_checkpoint(rank.files, rank.exec, *rank.world, *folder, warn);
  DROVER_CHECK(newest.has_value(), folder->string());
  return *newest;
}

Exit inspect(const std::string& named) {
  OneRank rank;
  std::cout << inspect_checkpoint(rank.files, chosen_checkpoint(rank, named));
  return Exit::done;
}

Exit hash(const std::string& named) {
  OneRank rank;
  const auto directory = chosen_checkpoint(rank, named);
  std::cout << weight_hash(rank.files, rank.exec, *rank.world, directory) << "  " << directory.string()
            << '\n';
  return Exit::done;
}

std::vector<std::filesystem::path> all_checkpoints(FileSystem& files, const std::string& named) {
  const auto folder = checkpoint_folder(files, named);
  if (!folder) return {named};
  std::vector<std::filesystem::path> all;
  for (const CommittedName& checkpoint : committed_names(files, *folder))
    all.push_back(*folder / checkpoint.name);
  return all;
}

Exit verify(const std::vector<std::string>& directories) {
  PosixFileSystem files;
  bool intact = true;
  for (const std::string& named : directories) {
    for (const auto& directory : all_checkpoints(files, named)) {
      const Verification found = verify_checkpoint(files, directory);
      std::cout << directory.string() << ": " << found.files << " files, " << found.bytes
                << " bytes: " << (found.damage.empty() ? "intact" : "damaged") << '\n';
      for (const Damage& damage : found.damage) std::cout << "  " << describe(damage) << '\n';
      intact = intact && found.damage.empty();
    }
  }
  return intact ? Exit::done : Exit::input;
}

}  // namespace

void add_checkpoint_commands(CLI::App& app, Verb& chosen) {
  CLI::App* group = app.add_subcommand("checkpoint", "look at checkpoints, check them, compare them");
  group->require_subcommand(1);
  const auto named = std::make_shared<std::vector<std::string>>();
  const auto add = [&](const char* verb, const char* about, const char* example, bool several,
                       const std::function<Exit()>& run) {
    CLI::App* command = group->add_subcommand(verb, about);
    command->footer(example);
    CLI::Option* directory = command->add_option("DIR", *named, several ? kAllHelp : kOneHelp)->required();
    directory->expected(1, several ? CLI::detail::expected_max_vector_size : 1);
    command->callback([&chosen, run] { chosen = run; });
  };
  add("inspect", "shows step, tokens, feeds, files, and how each tensor is cut",
      "Example: drover checkpoint inspect runs/quickstart", false,
      [named] { return inspect(named->front()); });
  add("hash", "prints the weight hash: equal for equal weights, moments, step and feeds, whatever the layout",
      "Example: drover checkpoint hash runs/a && drover checkpoint hash runs/b", false,
      [named] { return hash(named->front()); });
  add("verify",
      "reads every byte and compares it with the digests; prints damaged byte ranges, and exits with 3 if "
      "there "
      "are any",
      "Example: drover checkpoint verify runs/quickstart/checkpoints", true,
      [named] { return verify(*named); });
  for (const char* verb : {"plan", "export", "import"}) {
    CLI::App* command = group->add_subcommand(verb, "not yet");
    command->allow_extras();
    command->callback([&chosen, verb] {
      chosen = [verb]() -> Exit {
        throw usage_error("`drover checkpoint ", verb, "` is not there yet; inspect, verify and hash are");
      };
    });
  }
}

}  // namespace drover
