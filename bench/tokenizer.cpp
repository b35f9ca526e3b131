// Encoding, MB/s and tokens/s on one thread; bench/peers/tokenizer.py runs it beside tiktoken on the same texts
// and vocabulary:
//
//   bench_tokenizer --tokenizer=tokenizer.json --text=corpus.txt
//
// Without arguments the text is synthetic and the vocabulary trained on it; its few distinct words flatter
// the piece cache.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>

#include "core/base/error.h"
#include "data/tokenizer/bpe_train.h"
#include "data/tokenizer/tokenizer.h"

namespace drover {
namespace {

std::string synthetic_text(std::size_t bytes) {
  std::mt19937 random(1);
  std::string text;
  while (text.size() < bytes) {
    std::string word;
    for (std::uint32_t number = random() % 20'000 + 1; number > 0; number /= 21)
      word += char('a' + number % 21);
    text += word + (random() % 12 == 0 ? ".\n" : " ");
  }
  return text;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw input_error(path, ": cannot read this text");
  return {std::istreambuf_iterator<char>(file), {}};
}

Tokenizer trained_on(const std::string& text) {
  bool given = false;
  return train_bpe({.vocab_size = 8192}, [&](std::string& document) {
    document = text;
    return !std::exchange(given, true);
  });
}

void encode(benchmark::State& state, const Tokenizer& tokenizer, const std::string& text) {
  Encoder encoder(tokenizer);
  std::vector<std::int32_t> ids;
  for ([[maybe_unused]] auto _ : state) {
    ids.clear();
    encoder.encode_ordinary(text, ids);
    benchmark::DoNotOptimize(ids.data());
  }
  state.SetBytesProcessed(std::int64_t(text.size()) * state.iterations());
  state.SetItemsProcessed(std::int64_t(ids.size()) * state.iterations());
}

void train(benchmark::State& state, const std::string& text) {
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(trained_on(text).vocab_size());
  state.SetBytesProcessed(std::int64_t(text.size()) * state.iterations());
}

// Takes `--name=value` out of the arguments, which Google Benchmark would refuse.
std::string take_option(std::vector<char*>& arguments, const std::string& name) {
  for (auto at = arguments.begin(); at != arguments.end(); ++at) {
    const std::string argument = *at;
    if (!argument.starts_with("--" + name + "=")) continue;
    arguments.erase(at);
    return argument.substr(name.size() + 3);
  }
  return "";
}

int run(std::vector<char*> arguments) {
  const std::string text_path = take_option(arguments, "text"),
                    tokenizer_path = take_option(arguments, "tokenizer");
  const std::string text = text_path.empty() ? synthetic_text(8'000'000) : read_text(text_path);
  const Tokenizer tokenizer = tokenizer_path.empty() ? trained_on(text) : Tokenizer::load(tokenizer_path);
  int count = int(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  benchmark::RegisterBenchmark("encode_ordinary", encode, tokenizer, text)->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("train_bpe_8192", train, text)->Unit(benchmark::kMillisecond);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace drover

int main(int count, char** arguments) {
  try {
    return drover::run({arguments, arguments + count});
  } catch (const drover::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return int(error.exit());
  }
}
