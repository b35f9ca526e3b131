// `drover checkpoint inspect | verify | hash | export | import`: one process, whatever wrote the checkpoint.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/read/inspect.h"
#include "checkpoint/read/named.h"
#include "launch/commands/commands.h"
#include "launch/hugging_face/export_checkpoint.h"
#include "launch/hugging_face/import_checkpoint.h"
#include "launch/process/one_rank.h"

namespace drover {
namespace {

constexpr const char* kOneHelp =
    "a run directory or a folder of checkpoints (the newest that verifies), RUN:step_N, or a step's folder";
constexpr const char* kAllHelp =
    "run directories or folders of checkpoints (all of them), RUN:step_N, or steps' folders";

void warn(const std::string& text) { std::fprintf(stderr, "drover: warning: %s\n", text.c_str()); }

void use_named(OneRank& rank, const std::string& named, FunctionRef<void(const std::filesystem::path&)> use) {
  use_checkpoint(rank.reading(), named, warn, use);
}

Exit inspect(const std::string& named) {
  OneRank rank;
  use_named(rank, named, [&](const std::filesystem::path& directory) {
    std::cout << inspect_checkpoint(rank.files, directory);
  });
  return Exit::done;
}

Exit hash(const std::string& named) {
  OneRank rank;
  use_named(rank, named, [&](const std::filesystem::path& directory) {
    std::cout << weight_hash(rank.files, rank.exec, *rank.world, directory) << "  " << directory.string()
              << '\n';
  });
  return Exit::done;
}

Exit verify(const std::vector<std::string>& directories) {
  PosixFileSystem files;
  int damaged = 0;
  for (const std::string& named : directories) {
    for (const auto& directory : all_named(files, named)) {
      const Verification found = verify_checkpoint(files, directory);
      std::cout << directory.string() << ": " << found.files << " files, " << found.bytes
                << " bytes: " << (found.damage.empty() ? "intact" : "damaged") << '\n';
      for (const Damage& damage : found.damage) std::cout << "  " << describe(damage) << '\n';
      damaged += found.damage.empty() ? 0 : 1;
    }
  }
  if (damaged > 0)
    throw input_error(
        damaged, damaged == 1 ? " checkpoint is" : " checkpoints are",
        " damaged, as listed; a run goes on from the newest that is intact: restore the others, or "
        "remove them");
  return Exit::done;
}

constexpr const char* kExportHelp =
    R"(Writes what Transformers' from_pretrained reads: safetensors, config.json (read by versions 4 and 5), the
tokenizer's files, generation_config.json and a README.md. docs/hugging_face.md says how names and shapes map.

  drover checkpoint export runs/quickstart --out quickstart-hf
  drover checkpoint export runs/quickstart:step_500 --out hf --dtype bfloat16 --max-shard-size 5GB

float32, the default, is what a checkpoint holds: nothing is rounded, and `import` gives the same weights back.
bfloat16 is half as large, and what most programs compute in; float16 is for those that cannot, and refused where a
weight is beyond its 65504.)";

constexpr const char* kImportHelp =
    R"(Makes a run directory whose checkpoint of step 0 has the weights of a Llama that Transformers saved: one or several
safetensors files of float32, bfloat16 or float16, config.json of version 4 or 5.

  drover checkpoint import Llama-3.2-1B --out runs/llama-1b
  drover train more.yaml          # more.yaml begins with `base: runs/llama-1b/model.yaml`)";

struct ExportArguments {
  ExportRequest request;
  std::string named, format = "hf", dtype = "float32";
};

Exit export_checkpoint(ExportArguments arguments) {
  OneRank rank;
  arguments.request.format = weight_format_named(arguments.dtype);
  use_named(rank, arguments.named, [&](const std::filesystem::path& directory) {
    arguments.request.checkpoint = directory;
    std::cout << export_hugging_face(rank, arguments.request) << '\n';
  });
  return Exit::done;
}

void add_export(CLI::App& group, Verb& chosen) {
  const auto arguments = std::make_shared<ExportArguments>();
  ExportRequest& request = arguments->request;
  CLI::App* command = group.add_subcommand("export", "writes a checkpoint's weights for Transformers");
  command->footer(kExportHelp);
  command->add_option("DIR", arguments->named, kOneHelp)->required();
  command->add_option("--out", request.out, "the folder to make")->required();
  command->add_option("--format", arguments->format, "hf: Transformers")
      ->check(CLI::IsMember({"hf"}))
      ->capture_default_str();
  command->add_option("--dtype", arguments->dtype, "of the weights written: float32, bfloat16 or float16")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))
      ->capture_default_str();
  command
      ->add_option("--max-shard-size", request.shard_bytes,
                   "of one safetensors file, as 5GB or 500MB; default 50GB")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true));
  command->add_option("--tokenizer", request.tokenizer,
                      "tokenizer.json or tiktoken .model; default: the run's");
  command->add_option(
      "--max-positions", request.max_positions,
      "max_position_embeddings of config.json; default: the longest row trained on, or what scaled RoPE "
      "reaches");
  command->callback([arguments, &chosen] { chosen = [arguments] { return export_checkpoint(*arguments); }; });
}

void add_import(CLI::App& group, Verb& chosen) {
  const auto request = std::make_shared<ImportRequest>();
  CLI::App* command = group.add_subcommand("import", "makes a run of a Llama that Transformers saved");
  command->footer(kImportHelp);
  command->add_option("FOLDER", request->from, "a folder with config.json and safetensors")->required();
  command->add_option("--out", request->out, "the run directory to make")->required();
  command->callback([request, &chosen] {
    chosen = [request] {
      OneRank rank;
      std::cout << import_hugging_face(rank, *request) << '\n';
      return Exit::done;
    };
  });
}

}  // namespace

void add_checkpoint_commands(CLI::App& app, Verb& chosen) {
  CLI::App* group = app.add_subcommand(
      "checkpoint", "look at checkpoints, check them, compare them; to and from Transformers");
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
  add_export(*group, chosen);
  add_import(*group, chosen);
  CLI::App* plan = group->add_subcommand("plan", "not yet");
  plan->allow_extras();
  plan->callback([&chosen] {
    chosen = []() -> Exit {
      throw usage_error(
          "`drover checkpoint plan` is not there yet; inspect, verify, hash, export and import are");
    };
  });
}

}  // namespace drover
