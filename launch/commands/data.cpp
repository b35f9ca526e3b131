// `drover data train-tokenizer | prepare | inspect`: options to the structs of data/, and what people see.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>

#include "data/prepare/prepare.h"
#include "data/store/inspect.h"
#include "data/store/token_store.h"
#include "launch/commands/commands.h"
#include "launch/process/signals.h"
#include "launch/run/console.h"
#include "launch/run/read_progress.h"

namespace drover {
namespace {

constexpr const char* kTrainExample =
    R"(Example: 8192 tokens from a folder of text and a compressed JSON Lines file
  drover data train-tokenizer books/ code.jsonl.zst --vocab-size 8192 --out data/tokenizer.json)";

constexpr const char* kPrepareExample =
    R"(Example: a token store, and 2 % of the documents put aside for evaluation
  drover data prepare books/ --tokenizer data/tokenizer.json --out data/books.h5 \
      --holdout-fraction 0.02 --holdout-out data/holdout.h5
Example: from standard input, one JSON object a line
  zstd -dc code.jsonl.zst | drover data prepare - --tokenizer data/tokenizer.json --out data/code.h5
docs/token_store.md says what becomes of every kind of text.)";

constexpr const char* kInspectExample =
    R"(Example: what a store holds, its first tokens as text, every digest checked
  drover data inspect data/books.h5 --tokenizer data/tokenizer.json --verify)";

constexpr int kMostThreads = 1024;

int cores() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads); }

void add_inputs(CLI::App& verb, ReadDocuments& documents) {
  verb.add_option("inputs", documents.inputs, "files, folders, or - for standard input")->required();
  verb.add_option_function<std::string>(
      "--format", [&documents](const std::string& name) { documents.form = document_form_named(name); },
      "of all inputs: auto (by name), text, jsonl, json, megatron");
  verb.add_option("--text-key", documents.text_key, "where a JSON object has its text")
      ->capture_default_str();
  verb.add_flag_callback(
      "--skip-bad", [&documents] { documents.bad = BadInput::skip; },
      "pass over, and count, JSON without a text and documents above --max-document");
  verb.add_option("--max-document", documents.max_document_bytes, "largest document, such as 64MiB")
      ->transform(CLI::AsSizeValue(false).description(""))
      ->type_name("SIZE")
      ->default_str("1GiB");
}

void add_replace(CLI::App& verb, Existing& existing) {
  verb.add_flag_callback(
      "--replace", [&existing] { existing = Existing::replace; }, "replace files that exist");
}

void add_threads(CLI::App& verb, int& threads) {
  threads = cores();
  const auto set = [&threads](const int& wanted) {
    if (wanted < 1 || wanted > kMostThreads)
      throw usage_error("--threads ", wanted, ": must be from 1 to ", kMostThreads);
    threads = wanted;
  };
  verb.add_option_function<int>("--threads", set, "what is written does not depend on it")
      ->default_str("cores");
}

void add_affix(CLI::App& verb, const std::string& name, Affix& affix, const std::string& meaning) {
  const auto set = [name, &affix](const std::string& value) {
    if (value != "auto" && value != "none") throw usage_error(name, ' ', value, ": must be auto or none");
    affix = value == "auto" ? Affix::automatic : Affix::none;
  };
  verb.add_option_function<std::string>(name, set, meaning)->default_str("auto");
}

std::string documents_line(std::string_view what, const PartSummary& part) {
  return cat(what, " ", part.documents, " documents, ", part.text_bytes, " bytes of text");
}

Exit train(TrainTokenizer options) {
  PosixFileSystem files;
  Console console({});
  ReadProgressLines lines(console);
  options.progress = [&lines](const ReadProgress& progress) { lines.show(progress); };
  const TrainedTokenizer trained = train_tokenizer(files, options);
  console.print(documents_line("learned from", trained.read));
  if (trained.left_out.documents > 0) console.print(documents_line("held out", trained.left_out));
  const std::int64_t tokens = trained.tokenizer.vocab_size();
  console.print(cat("wrote ", options.out.string(), ": ", tokens, " tokens"));
  if (tokens < options.bpe.vocab_size) {
    console.warn(cat("--vocab-size ", options.bpe.vocab_size,
                     ": the text has no more pairs to merge; the "
                     "vocabulary has ",
                     tokens));
  }
  return Exit::done;
}

void add_train_tokenizer(CLI::App& data, Verb& chosen) {
  CLI::App* const verb =
      data.add_subcommand("train-tokenizer", "learn a byte-level BPE vocabulary from text");
  verb->footer(kTrainExample);
  const auto options = std::make_shared<TrainTokenizer>();
  add_inputs(*verb, options->documents);
  verb->add_option("--out", options->out, "the tokenizer.json to write")->required();
  add_replace(*verb, options->existing);
  verb->add_option("--vocab-size", options->bpe.vocab_size, "special tokens included")->capture_default_str();
  verb->add_option("--holdout-fraction", options->holdout_fraction,
                   "leave out the documents that prepare holds out at this fraction");
  add_threads(*verb, options->bpe.threads);
  verb->callback([options, &chosen] { chosen = [options] { return train(*options); }; });
}

struct Prepare {
  std::string tokenizer;
  PrepareOptions options;
};

Exit run_prepare(Prepare prepare_options) {
  PosixFileSystem files;
  Console console({});
  PrepareOptions& options = prepare_options.options;
  const StopSignals signals;
  // The same key may have ended the program at the other end of a pipe, and what came through is not all.
  options.documents.check_stop = [&signals] {
    if (signals.requested())
      throw Error(Exit::run_again, cat("stopped by ", signals.name(), "; nothing was written"));
  };
  ReadProgressLines lines(console);
  options.progress = [&](const ReadProgress& progress) {
    options.documents.check_stop();
    lines.show(progress);
  };
  const PrepareSummary summary = prepare(files, Tokenizer::load(prepare_options.tokenizer), options);
  std::string text = describe(summary);
  text.pop_back();  // its last line feed
  console.print(text);
  if (summary.train.tokens == 0)
    console.warn(options.out.string() + " has no tokens: nothing can be trained on it");
  for (const std::filesystem::path& path : {options.out, options.holdout_out, options.holdout_text}) {
    if (!path.empty()) console.print(cat("wrote ", path.string()));
  }
  return Exit::done;
}

void add_prepare(CLI::App& data, Verb& chosen) {
  CLI::App* const verb = data.add_subcommand("prepare", "turn documents into a token store");
  verb->footer(kPrepareExample);
  const auto prepare_options = std::make_shared<Prepare>();
  PrepareOptions& options = prepare_options->options;
  add_inputs(*verb, options.documents);
  verb->add_option("--tokenizer", prepare_options->tokenizer,
                   "a tokenizer.json, or tiktoken's tokenizer.model")
      ->required();
  verb->add_option("--out", options.out, "the token store to write")->required();
  add_replace(*verb, options.existing);
  add_affix(*verb, "--bos", options.bos, "before a document: auto (as the tokenizer defines) or none");
  add_affix(*verb, "--eos", options.eos, "after a document: auto (as the tokenizer defines) or none");
  verb->add_option("--holdout-fraction", options.holdout_fraction,
                   "of documents to put aside, chosen by the hash of their text");
  verb->add_option("--holdout-out", options.holdout_out, "the token store of what is put aside");
  verb->add_option("--holdout-text", options.holdout_text, "exactly the texts put aside, one after another");
  add_threads(*verb, options.threads);
  verb->callback(
      [prepare_options, &chosen] { chosen = [prepare_options] { return run_prepare(*prepare_options); }; });
}

struct Inspect {
  InspectStore store;
  std::string tokenizer;  // empty: none
};

Exit run_inspect(const Inspect& options) {
  PosixFileSystem files;
  InspectStore store = options.store;
  std::optional<Tokenizer> tokenizer;
  if (!options.tokenizer.empty()) tokenizer = Tokenizer::load(options.tokenizer);
  store.tokenizer = tokenizer ? &*tokenizer : nullptr;
  std::fputs(inspect_store(files, store).c_str(), stdout);
  return Exit::done;
}

void add_inspect(CLI::App& data, Verb& chosen) {
  CLI::App* const verb = data.add_subcommand("inspect", "show what a token store holds");
  verb->footer(kInspectExample);
  const auto options = std::make_shared<Inspect>();
  verb->add_option("store", options->store.path, "the token store")->required();
  verb->add_option("--tokenizer", options->tokenizer, "the one that made it; shows the first tokens as text");
  verb->add_flag("--verify", options->store.verify, "read everything and check every digest, offset and id");
  verb->callback([options, &chosen] { chosen = [options] { return run_inspect(*options); }; });
}

void add_audit(CLI::App& data, Verb& chosen) {
  CLI::App* const verb = data.add_subcommand("audit", "not yet");
  verb->allow_extras();
  verb->callback([&chosen] {
    chosen = []() -> Exit {
      throw usage_error(
          "`drover data audit` is not there yet; `drover data inspect --verify` checks a store");
    };
  });
}

}  // namespace

void add_data_commands(CLI::App& app, Verb& chosen) {
  CLI::App* const data = app.add_subcommand("data", "tokenizers and token stores from text; who trains what");
  data->require_subcommand(1);
  add_train_tokenizer(*data, chosen);
  add_prepare(*data, chosen);
  add_inspect(*data, chosen);
  add_explain_command(*data, chosen);
  add_audit(*data, chosen);
}

}  // namespace drover
