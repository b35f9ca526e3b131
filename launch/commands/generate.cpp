#include <CLI/CLI.hpp>
#include <cstdio>

#include "launch/commands/commands.h"
#include "launch/hugging_face/checkpoint_tokenizer.h"
#include "launch/run/inference.h"
#include "train/generate.h"

namespace drover {

namespace {

constexpr const char* kHelp =
    R"(Writes tokens as they are made, up to the one that ends a document.

  drover generate configs/quickstart.yaml --prompt "The list is sorted"
  drover generate configs/quickstart.yaml --tokens 50 --temperature 0)";

struct GenerateArguments {
  InferenceRequest model;
  std::string prompt;
  bool special = false;
  SampleOptions sampling;
};

std::vector<std::int32_t> prompt_ids(const Tokenizer& tokenizer, const GenerateArguments& arguments) {
  std::vector<std::int32_t> ids = arguments.special ? tokenizer.encode_with_specials(arguments.prompt)
                                                    : tokenizer.encode_ordinary(arguments.prompt);
  if (tokenizer.bos()) ids.insert(ids.begin(), *tokenizer.bos());
  if (ids.empty()) throw usage_error("this tokenizer has no token that begins a text; give a --prompt");
  return ids;
}

// Written as it comes; ends at the token that ends a document.
void write_continuation(Inference& model, const Tokenizer& tokenizer, const GenerateArguments& arguments,
                        bool first) {
  const std::vector<std::int32_t> prompt = prompt_ids(tokenizer, arguments);
  const auto write = [&](const std::string& text) {
    if (first) std::fwrite(text.data(), 1, text.size(), stdout);
    if (first) std::fflush(stdout);
  };
  write(arguments.prompt);
  generate(model.training(), model.platform(), prompt, arguments.sampling, [&](std::int32_t token) {
    if (token == tokenizer.eos()) return false;
    write(tokenizer.decode({&token, 1}));
    return true;
  });
  write("\n");
}

Exit run(const GenerateArguments& arguments) {
  validate(arguments.sampling);
  PosixFileSystem files;
  Process process(launch_timeout(files, arguments.model.config));
  return run_as_ranks(process, [&] {
    Inference model(process, files, arguments.model);
    if (model.config().data.tokenizer.empty())
      throw usage_error("data.tokenizer is not set in ", arguments.model.config.path,
                        "; text needs a tokenizer");
    const Tokenizer tokenizer =
        load_tokenizer_of(model.state(), model.config().model, model.config().data.tokenizer);
    write_continuation(model, tokenizer, arguments, process.first());
    return Exit::done;
  });
}

}  // namespace

void add_generate_command(CLI::App& app, Verb& chosen) {
  const auto arguments = std::make_shared<GenerateArguments>();
  CLI::App* const verb = app.add_subcommand("generate", "continue a text with the weights of a checkpoint");
  verb->footer(kHelp);
  verb->add_option("CONFIG", arguments->model.config.path, "YAML file of the run")->required();
  verb->add_option("--set", arguments->model.config.overrides, "other values: section.key=value ...");
  verb->add_option("--checkpoint", arguments->model.checkpoint,
                   "RUN, RUN:step_N or a step's folder; default: the run's newest that verifies");
  verb->add_option("--prompt", arguments->prompt,
                   "the text to continue; default: the beginning of a document");
  verb->add_flag("--special", arguments->special,
                 "names of special tokens in the prompt become these tokens");
  verb->add_option("--tokens", arguments->sampling.max_tokens, "at most so many tokens")
      ->capture_default_str();
  verb->add_option("--temperature", arguments->sampling.temperature, "0: always the likeliest token")
      ->capture_default_str();
  verb->add_option("--top-p", arguments->sampling.top_p,
                   "only the likeliest tokens that together have this probability")
      ->capture_default_str();
  verb->add_option("--seed", arguments->sampling.seed, "of the random choice")->capture_default_str();
  verb->callback([arguments, &chosen] { chosen = [arguments] { return run(*arguments); }; });
}

}  // namespace drover
