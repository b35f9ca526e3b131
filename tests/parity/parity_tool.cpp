// Trains a small Llama in float64 and writes everything a reference needs to do the same: the first weights,
// what was fed, logits, loss, gradients, and the weights after 20 steps, as .npy files.
// tests/parity/pytorch_test.py does it again in PyTorch.
//
//   parity_tool OUT key=value ...     keys: d l h k e f v tied theta factor original seed rows length
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "tests/support/local_training.h"

namespace drover::testing {
namespace {

// NumPy's .npy format, version 1.0.
void write_npy(const std::filesystem::path& path, const char* descr, const std::vector<std::int64_t>& shape,
               const void* data, std::size_t bytes) {
  std::string dims;
  for (std::int64_t n : shape) dims += std::to_string(n) + ",";
  std::string header = cat("{'descr': '", descr, "', 'fortran_order': False, 'shape': (", dims, "), }");
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::ofstream out(path, std::ios::binary);
  const char magic[] = {'\x93',
                        'N',
                        'U',
                        'M',
                        'P',
                        'Y',
                        1,
                        0,
                        static_cast<char>(header.size() & 255),
                        static_cast<char>(header.size() >> 8)};
  out.write(magic, sizeof magic);
  out << header;
  out.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
  if (!out) throw input_error("cannot write ", path.string());
}

void write_tensor(const std::filesystem::path& path, const Tensor& x) {
  const char* descr = x.dtype == DType::int32 ? "<i4" : "<f8";
  write_npy(path, descr, {x.dims.begin(), x.dims.begin() + x.rank}, x.data,
            static_cast<std::size_t>(x.bytes()));
}

void write_parameters(const std::filesystem::path& folder,
                      const std::map<std::string, std::vector<double>>& parameters) {
  std::filesystem::create_directories(folder);
  for (const auto& [name, values] : parameters)
    write_npy(folder / (name + ".npy"), "<f8", {static_cast<std::int64_t>(values.size())}, values.data(),
              values.size() * 8);
}

Config configured(int argc, char** argv) {
  Config config = tiny_config();
  std::map<std::string, double> v{{"d", 24},        {"l", 2},       {"h", 3},         {"k", 1},
                                  {"e", 0},         {"f", 20},      {"v", 37},        {"tied", 0},
                                  {"theta", 10000}, {"factor", 0},  {"original", 16}, {"seed", 1},
                                  {"rows", 6},      {"length", 24}, {"steps", 20}};
  for (int i = 2; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::size_t equals = argument.find('=');
    if (equals == std::string::npos || !v.contains(argument.substr(0, equals)))
      throw usage_error("unknown argument ", argument);
    v[argument.substr(0, equals)] = std::atof(argument.c_str() + equals + 1);
  }
  const auto integer = [&](const char* key) { return static_cast<std::int64_t>(v[key]); };
  config.model = {.hidden_size = integer("d"),
                  .num_hidden_layers = integer("l"),
                  .num_attention_heads = integer("h"),
                  .num_key_value_heads = integer("k"),
                  .intermediate_size = integer("f"),
                  .vocab_size = integer("v"),
                  .head_dim = integer("e"),
                  .rope_theta = v["theta"],
                  .tie_word_embeddings = v["tied"] != 0,
                  .initializer_range = 0.1};
  if (v["factor"] > 0)
    config.model.rope_scaling =
        RopeScaling{.factor = v["factor"], .original_max_position_embeddings = integer("original")};
  config.run.seed = integer("seed");
  config.data.synthetic->vocab_size = integer("v");
  config.train.sequence_length = integer("length");
  config.train.batch_tokens = integer("length") * integer("rows");
  config.train.microbatch_sequences = integer("rows");
  config.train.steps = integer("steps");
  config.optimizer.clip_norm = 0.5;
  return config;
}

// The batch of every step, and the logits of the first.
void write_inputs(const std::filesystem::path& out, Training& t, Trainer& trainer) {
  const Loader& loader = *t.data.loader;
  for (std::int64_t step = 0; step < t.plan.total_steps; ++step) {
    const Microbatch& batch = t.data.loader->next().microbatches[0];
    write_tensor(out / cat("tokens_", step, ".npy"), batch.tokens);
    write_tensor(out / cat("targets_", step, ".npy"), batch.targets);
    write_tensor(out / cat("positions_", step, ".npy"), batch.positions);
    std::vector<std::int32_t> begins;
    for (const Segment& segment : batch.segments) begins.push_back(segment.q_begin);
    write_npy(out / cat("segments_", step, ".npy"), "<i4", {static_cast<std::int64_t>(begins.size())},
              begins.data(), begins.size() * 4);
    if (step > 0) continue;
    std::vector<double> logits(static_cast<std::size_t>(batch.size() * t.plan.config.model.vocab_size));
    t.model.stages.front()->logits(trainer.exec(), batch, 0,
                                   Tensor::of(logits.data(), {batch.size(), t.plan.config.model.vocab_size}));
    write_npy(out / "logits.npy", "<f8", {batch.size(), t.plan.config.model.vocab_size}, logits.data(),
              logits.size() * 8);
  }
  t.data.loader->seek(loader.sampler().start());
}

void run(int argc, char** argv) {
  if (argc < 2) throw usage_error("usage: parity_tool OUT key=value ...");
  const std::filesystem::path out = argv[1];
  std::filesystem::create_directories(out);
  Config config = configured(argc, argv);
  const RunResult trained = train_locally(config, 1, 1, [&](Training& t, Trainer& trainer, const Platform&) {
    RunResult first;
    internal::collect(trainer, first);
    write_parameters(out / "first", first.weights);
    write_inputs(out, t, trainer);
  });
  write_parameters(out / "last", trained.weights);
  std::vector<double> losses, norms, rates;
  for (const StepReport& step : trained.steps) {
    losses.push_back(step.loss);
    norms.push_back(step.grad_norm);
    rates.push_back(step.lr);
  }
  const std::int64_t steps = static_cast<std::int64_t>(losses.size());
  write_npy(out / "losses.npy", "<f8", {steps}, losses.data(), losses.size() * 8);
  write_npy(out / "norms.npy", "<f8", {steps}, norms.data(), norms.size() * 8);
  write_npy(out / "rates.npy", "<f8", {steps}, rates.data(), rates.size() * 8);
  // The same total schedule, stopped after one step: its gradients.
  RunResult one =
      train_locally(config, 1, 1, [&](Training& t, Trainer&, const Platform&) { t.plan.total_steps = 1; });
  write_parameters(out / "gradients", one.gradients);
}

}  // namespace
}  // namespace drover::testing

int main(int argc, char** argv) {
  try {
    drover::testing::run(argc, argv);
  } catch (const drover::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.exit());
  }
}
