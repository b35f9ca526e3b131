#include "launch/config/run_config.h"

#include <cstdlib>

#include "launch/config/describe_config.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

std::string source_folder() {
  const char* folder = std::getenv("DROVER_SOURCE_DIR");
  REQUIRE(folder != nullptr);
  return folder;
}

RunConfig read(const std::string& path, const std::vector<std::string>& overrides = {}) {
  PosixFileSystem files;
  return read_run_config(files, {.path = path, .overrides = overrides});
}

RunConfig tiny(const std::vector<std::string>& overrides = {}) {
  return read(source_folder() + "/configs/tiny.yaml", overrides);
}

RunConfig read_text_as_file(const std::string& text) {
  PosixFileSystem files;
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "run.yaml").string();
  write_text_atomically(files, path, text);
  return read(path);
}

std::string refusal(const std::vector<std::string>& overrides) {
  try {
    tiny(overrides);
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::usage);
    return error.what();
  }
  return "no error";
}

const ResolvedField& field(const RunConfig& run, const std::string& path) {
  for (const ResolvedField& candidate : run.fields)
    if (candidate.path == path) return candidate;
  FAIL("no field " << path);
  return run.fields.front();
}

std::vector<std::string> committed_configs() {
  PosixFileSystem files;
  std::vector<std::string> paths;
  for (const std::string& name : files.list(source_folder() + "/configs"))
    paths.push_back(source_folder() + "/configs/" + name);
  return paths;
}

TEST_CASE("every committed configuration reads without an error or a warning") {
  const std::vector<std::string> paths = committed_configs();
  CHECK(paths.size() >= 5);
  for (const std::string& path : paths) {
    INFO(path);
    CHECK(read(path).warnings.empty());
  }
}

TEST_CASE("a committed configuration's resolved values read back to the same values, and resume") {
  for (const std::string& path : committed_configs()) {
    INFO(path);
    const RunConfig run = read(path);
    const std::string text = write_run_config(run.config);
    const RunConfig again = read_text_as_file(text);
    CHECK(write_run_config(again.config) == text);
    CHECK(changed_on_resume(run.fields, again.fields).empty());
    CHECK(changed_on_resume(again.fields, run.fields).empty());
  }
}

TEST_CASE("docs/config.md is what the program says") {
  PosixFileSystem files;
  INFO("stale? drover config --docs > docs/config.md");
  CHECK(read_text(files, source_folder() + "/docs/config.md", 1 << 20) == document_run_config());
}

TEST_CASE("the defaults are those of the structs") {
  const RunConfig run = read_text_as_file(
      "model: {hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1,\n"
      "        intermediate_size: 8, vocab_size: 256}\n"
      "data: {synthetic: {}}\n"
      "train: {sequence_length: 8, batch_tokens: 8, steps: 200}\n");
  Config expected;
  expected.run.dir = "runs/run";
  expected.model = {.hidden_size = 8,
                    .num_hidden_layers = 1,
                    .num_attention_heads = 2,
                    .num_key_value_heads = 1,
                    .intermediate_size = 8,
                    .vocab_size = 256};
  expected.data.synthetic.emplace();
  expected.train = {.sequence_length = 8, .batch_tokens = 8, .steps = 200};
  CHECK(write_run_config(run.config) == write_run_config(expected));
}

// Another value that the field may have, as YAML.
std::string other_value(const ResolvedField& f) {
  const std::string choices = f.info.choices;
  const bool real = f.value.find('.') != std::string::npos &&
                    f.value.find_first_not_of("0123456789.e-") == std::string::npos;
  if (!choices.empty()) return choices.substr(choices.rfind(' ') + 1);  // npos + 1 is 0
  if (f.value == "true" || f.value == "false") return f.value == "true" ? "false" : "true";
  if (f.value.front() == '[') return "[0.5, 0.25]";
  if (f.path == "checkpoint.every") return "10min";
  if (f.path == "launch.timeout") return "5min";
  if (real) return f.info.at_most ? "0.75" : "1.75";
  if (f.info.at_least) return f.value == "2" ? "3" : "2";
  return "word";
}

TEST_CASE("ranks start with launch.timeout, and with the default where the configuration is wrong") {
  PosixFileSystem files;
  const auto timeout = [&](std::vector<std::string> overrides) {
    return launch_timeout(
        files, {.path = source_folder() + "/configs/tiny.yaml", .overrides = std::move(overrides)});
  };
  CHECK(timeout({}) == std::chrono::minutes(10));
  CHECK(timeout({"launch.timeout=2h"}) == std::chrono::hours(2));
  CHECK(timeout({"launch.timeout=2h", "launch.patience=1"}) == std::chrono::minutes(10));
  CHECK(launch_timeout(files, {.path = "/missing.yaml", .overrides = {}}) == std::chrono::minutes(10));
}

Config everything_present() {
  Config config;
  config.model = {.hidden_size = 3,
                  .num_hidden_layers = 3,
                  .num_attention_heads = 3,
                  .num_key_value_heads = 3,
                  .intermediate_size = 3,
                  .vocab_size = 3,
                  .head_dim = 4,
                  .rope_scaling = RopeScaling{}};
  config.data.synthetic.emplace();
  config.data.sources = {{.store = "a.h5"}};
  config.train = {.sequence_length = 3, .batch_tokens = 3, .steps = 3, .tokens = 3};
  config.optimizer.decay_steps = 3;
  config.parallel.stretch = 3;
  config.phases = {{.from_tokens = 5, .sequence_length = 3, .batch_tokens = 3}};
  config.phases[0].sources = config.data.sources;
  return config;
}

std::vector<ResolvedField> fields_of(Config config) {
  return list_config([&](Fields& fields) { describe(fields, config); });
}

TEST_CASE("every key can be set, and then only it differs") {
  Config present = everything_present();
  std::vector<ResolvedField> before = fields_of(present);
  std::erase_if(before, [](const ResolvedField& f) { return f.path == "model.preset"; });
  CHECK(before.size() > 60);
  PosixFileSystem files;
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "run.yaml").string();
  write_text_atomically(files, path, write_config(before));
  for (const ResolvedField& f : before) {
    const std::string value = other_value(f);
    INFO(f.path << "=" << value << " instead of " << f.value);
    Config config;
    const std::vector<ResolvedField> now =
        read_config(files, {.path = path, .overrides = {f.path + "=" + value}},
                    [&](Fields& fields) { describe(fields, config); });
    std::vector<std::string> changed;
    for (const ResolvedField& old : before)
      for (const ResolvedField& field : now)
        if (field.path == old.path && field.value != old.value) changed.push_back(field.path);
    const bool one_choice = f.value == value;
    CHECK(changed == (one_choice ? std::vector<std::string>{} : std::vector{f.path}));
    CHECK(write_config(fields_of(config)) == write_config(now));
  }
}

TEST_CASE("every key has a meaning, and no name elsewhere is a key of the same section") {
  const std::vector<ResolvedField> fields = fields_of(everything_present());
  for (const ResolvedField& f : fields) {
    INFO(f.path);
    CHECK(std::string(f.info.meaning).size() > 3);
    std::istringstream names{std::string(f.info.elsewhere)};
    const std::string section = f.path.substr(0, f.path.rfind('.') + 1);
    for (std::string name; names >> name;)
      for (const ResolvedField& other : fields) CHECK(other.path != section + name);
  }
}

TEST_CASE("a preset gives the model's values, under those of the file") {
  const RunConfig run = read_text_as_file(
      "model: {preset: llama3-8b, vocab_size: 512}\n"
      "data: {synthetic: {}}\n"
      "train: {sequence_length: 8, batch_tokens: 8, steps: 200}\n");
  CHECK(run.config.model.intermediate_size == 14336);
  CHECK(run.config.model.vocab_size == 512);
  CHECK(field(run, "model.intermediate_size").origin == "preset llama3-8b");
  CHECK(field(run, "model.vocab_size").origin.ends_with("run.yaml:1"));
  CHECK(field(run, "optimizer.lr").origin == "default");
}

TEST_CASE("presets have the parameters of the Llama 3 paper's models") {
  const auto parameters = [](const std::string& name) {
    const RunConfig run = read(source_folder() + "/configs/" + name + ".yaml");
    return static_cast<double>(count_parameters(run.config.model).total);
  };
  CHECK(parameters("llama3-8b") == Approx(8.030e9).epsilon(1e-4));
  CHECK(parameters("llama3-70b") == Approx(70.554e9).epsilon(1e-4));
  CHECK(parameters("llama3-405b") == Approx(405.853e9).epsilon(1e-4));
}

TEST_CASE("names of torchtitan, nanotron, Megatron and Transformers lead to ours") {
  const auto leads = [](const std::string& theirs, const std::string& ours) {
    INFO(theirs);
    const std::string message = refusal({theirs + "=1"});
    CHECK(message.find("unknown key; here it is called " + ours + " (") != std::string::npos);
  };
  leads("parallelism.tensor_parallel_degree", "parallel");  // torchtitan
  leads("training.seq_len", "train");
  leads("train.seq_len", "train.sequence_length");
  leads("train.max_norm", "optimizer.clip_norm");
  leads("checkpoint.keep_latest_k", "checkpoint.keep");
  leads("activation_checkpoint.mode", "train.recompute");
  leads("parallel.tp", "parallel.tensor");  // nanotron
  leads("parallel.dp", "parallel.shard");
  leads("tokens.micro_batch_size", "train");
  leads("optimizer.clip_grad", "optimizer.clip_norm");
  leads("checkpoints.checkpoint_interval", "checkpoint");
  leads("tensor_model_parallel_size", "parallel.tensor");  // Megatron
  leads("--pipeline-model-parallel-size", "parallel.pipeline");
  leads("train.train-iters", "train.steps");
  leads("optimizer.lr_warmup_iters", "optimizer.warmup_steps");
  leads("model.n_layers", "model.num_hidden_layers");
  leads("learning_rate", "optimizer.lr");  // Transformers
  leads("train.per_device_train_batch_size", "train.microbatch_sequences");
  leads("model.max_position_embeddings", "train.sequence_length");
  leads("model.torch_dtype", "train.dtype");
  leads("save_total_limit", "checkpoint.keep");
}

TEST_CASE("values that do not fit each other are refused with the place of the key") {
  CHECK(refusal({"model.hidden_size=66"}) ==
        "--set: model.hidden_size is 66, not a multiple of model.num_attention_heads = 4; nearest legal "
        "values: "
        "64 and 68");
  CHECK(refusal({"train.batch_tokens=2000"}).find("--set: train.batch_tokens is 2000; it must be") == 0);
  CHECK(refusal({"train.tokens=2B"}).find("give exactly one of train.steps and train.tokens") !=
        std::string::npos);
  CHECK(refusal({"data.synthetic=null"}).find("give either data.sources") != std::string::npos);
  CHECK(refusal({"data.synthetic.vocab_size=300"}).find("raise model.vocab_size") != std::string::npos);
  CHECK(refusal({"optimizer.decay_steps=100"}).find("--set: optimizer.decay_steps is 100") == 0);
  CHECK(refusal({"parallel.tensor=3"}).find("--set: parallel.tensor is 3, which does not divide") == 0);
  CHECK(refusal({"parallel.schedule=2f2b"}).find("--set: parallel.schedule is '2f2b'") == 0);
  CHECK(refusal({"parallel.zero=4"}).find("parallel.zero is 4; it must be at most 3") != std::string::npos);
  CHECK(refusal({"train.dtype=float16"}).find("train.dtype is 'float16'; did you mean bfloat16?") !=
        std::string::npos);
  CHECK(refusal({"run.name=a/b"}).find("set run.dir") != std::string::npos);
  CHECK(refusal({"phases=[{from_tokens: 1M, batch_tokens: 100}]"}).find("batch_tokens is 100") !=
        std::string::npos);
  CHECK(refusal({"phases=[{from_tokens: 1M, sources: [{store: a.h5}]}]"})
            .find("'a.h5' is not in data.sources") != std::string::npos);
}

TEST_CASE("a pipeline's schedule and stages are refused with the place of the key") {
  CHECK(refusal({"parallel.schedule=zb-v"})
            .find("parallel.virtual_stages is 1, and parallel.schedule zb-v has two") != std::string::npos);
  CHECK(refusal({"parallel.schedule=1f1b", "parallel.virtual_stages=2"})
            .starts_with(
                "--set: parallel.virtual_stages is 2, and parallel.schedule 1f1b has one stage a rank"));
  CHECK(refusal({"parallel.pipeline=4", "parallel.schedule=interleaved", "parallel.stretch=3"})
            .starts_with("--set: parallel.stretch is 3, and the schedule interleaved needs at least"));
  CHECK(refusal({"parallel.pipeline=2", "parallel.stage_layers='1,2,1'"})
            .starts_with("--set: parallel.stage_layers "));
  CHECK(refusal({"parallel.schedule=csv"}).starts_with("--set: parallel.schedule is csv, which needs"));
  CHECK(refusal({"parallel.pipeline=64"}).find("use at most") != std::string::npos);
}

TEST_CASE("parallel.stretch is read under its former name too, but not under both") {
  CHECK(tiny({"parallel.run_length=3"}).config.parallel.stretch == 3);
  CHECK(refusal({"parallel.run_length=3", "parallel.stretch=3"})
            .ends_with("parallel.run_length is the former name of parallel.stretch, which is given too; "
                       "leave it out"));
}

TEST_CASE("layouts that cannot be run yet are legal in a configuration") {
  CHECK(tiny({"parallel.tensor=2", "parallel.pipeline=2", "parallel.context=2", "parallel.schedule=zb-h1"})
            .config.parallel.tensor == 2);
}

TEST_CASE("the run directory follows the run's name unless it is set") {
  CHECK(tiny().config.run.dir == "runs/tiny");
  CHECK(field(tiny({"run.name=other"}), "run.dir").value == "runs/other");
  CHECK(tiny({"run.dir=/data/x", "run.name=a/b"}).config.run.dir == "/data/x");
}

TEST_CASE("checkpoints are made every so many steps or every so much time, not both") {
  CHECK(tiny({"checkpoint.every=7"}).config.checkpoint.every_steps == 7);
  CHECK(tiny({"checkpoint.every=7"}).config.checkpoint.every_seconds == 0);
  CHECK(tiny({"checkpoint.every=10min"}).config.checkpoint.every_steps == 0);
  CHECK(tiny({"checkpoint.every=10min"}).config.checkpoint.every_seconds == 600);
}

TEST_CASE("a setting that has no effect warns, unless it has its default value") {
  CHECK(tiny().warnings.empty());
  CHECK(tiny({"eval.every=500"}).warnings.empty());
  CHECK(tiny({"eval.every=7"}).warnings ==
        std::vector<std::string>{"--set: eval.every has no effect, because data.holdout is not set"});
  CHECK(tiny({"optimizer.schedule=constant", "optimizer.min_lr_ratio=0"}).warnings.size() == 1);
  CHECK(tiny({"parallel.context_pieces=balanced"}).warnings.size() == 1);
  CHECK(tiny({"parallel.schedule_file=x.csv"}).warnings.size() == 1);
}

TEST_CASE("on resume a layout may change, the model, the data and the seed may not") {
  const auto changed = [](const std::string& override) {
    return changed_on_resume(tiny().fields, tiny({override}).fields);
  };
  for (const char* allowed :
       {"parallel.zero=3", "parallel.shard=2", "train.steps=40", "train.recompute=full", "optimizer.lr=1",
        "checkpoint.every=1h", "run.dir=x", "device=cpu", "phases=[{from_tokens: 1M, batch_tokens: 4096}]"}) {
    INFO(allowed);
    CHECK(changed(allowed).empty());
  }
  for (const char* refused : {"run.seed=2", "model.intermediate_size=100", "data.synthetic.seed=2",
                              "data.region_tokens=1M", "train.dtype=bfloat16", "train.batch_tokens=4096",
                              "train.sequence_length=64", "optimizer.betas=[0.9, 0.99]"}) {
    INFO(refused);
    CHECK(changed(refused).size() == 1);
  }
  const auto stores = [](const char* sources) {
    return tiny({"data.synthetic=null", cat("data.sources=", sources)}).fields;
  };
  CHECK(changed_on_resume(stores("[{store: a.h5}]"), stores("[{store: moved/a.h5}]")).empty());
  CHECK(changed_on_resume(stores("[{store: a.h5}]"), stores("[{store: a.h5, weight: 2}]")).size() == 1);
  CHECK(changed("run.seed=2").front() == "run.seed was 1, now 2 (--set)");
}

}  // namespace
}  // namespace drover
