#include "train/generate.h"

#include <array>
#include <vector>

#include "tests/support/local_training.h"
#include "tests/support/test_support.h"

using namespace drover;
using namespace drover::testing;

namespace {

constexpr std::array<float, 4> kLogits{1.0F, 3.0F, 2.0F, -50.0F};

std::vector<std::int32_t> generated(int ranks, const SampleOptions& options, std::int64_t prompt_length) {
  std::vector<std::int32_t> tokens;
  PosixFileSystem files;
  run_local_ranks(ranks, [&](Communicator& world) {
    HostMemory memory;
    const auto backend = make_cpu_backend(memory, {.threads = 1});
    const Platform platform{.world = world, .backend = *backend, .host = memory, .files = files};
    const auto model = build_inference(tiny_config(), platform);
    std::vector<std::int32_t> prompt(static_cast<std::size_t>(prompt_length));
    for (std::size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<std::int32_t>(i % 7);
    std::vector<std::int32_t> mine;
    generate(*model, platform, prompt, options, [&](std::int32_t token) {
      mine.push_back(token);
      return true;
    });
    if (world.rank() == 0) tokens = mine;
  });
  return tokens;
}

std::string refusal(const SampleOptions& options) {
  try {
    validate(options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("temperature 0 takes the likeliest token") {
  CHECK(sample(kLogits, {.temperature = 0}, 0.99) == 1);
}

TEST_CASE("a token is chosen as often as its probability says") {
  // softmax of (1, 3, 2): 0.090, 0.665, 0.245
  std::array<int, 4> counts{};
  constexpr int kDraws = 10000;
  for (int i = 0; i < kDraws; ++i)
    ++counts[static_cast<std::size_t>(sample(kLogits, {.temperature = 1, .top_p = 1}, (i + 0.5) / kDraws))];
  CHECK(counts[0] == Approx(900).margin(2));
  CHECK(counts[1] == Approx(6652).margin(2));
  CHECK(counts[2] == Approx(2447).margin(2));
  CHECK(counts[3] == 0);
}

TEST_CASE("top-p keeps the fewest likeliest tokens that reach it") {
  for (const double uniform : {0.0, 0.5, 0.999}) {
    CHECK(sample(kLogits, {.temperature = 1, .top_p = 0.6}, uniform) == 1);
    CHECK(sample(kLogits, {.temperature = 1, .top_p = 0.9}, uniform) != 0);
  }
}

TEST_CASE("a sample is the same on one rank and on two, and another with another seed") {
  const SampleOptions options{.max_tokens = 24, .temperature = 1, .top_p = 1, .seed = 3};
  const auto one = generated(1, options, 5);
  CHECK(one.size() == 24);
  CHECK(generated(2, options, 5) == one);
  SampleOptions other = options;
  other.seed = 4;
  CHECK(generated(1, other, 5) != one);
}

TEST_CASE("a prompt longer than a sequence is continued from its end") {
  CHECK(generated(1, {.max_tokens = 3, .temperature = 0}, 50).size() == 3);
}

TEST_CASE("sampling options out of range are named") {
  CHECK(refusal({.max_tokens = 0}).find("--tokens") != std::string::npos);
  CHECK(refusal({.temperature = -1}).find("--temperature") != std::string::npos);
  CHECK(refusal({.top_p = 0}).find("--top-p") != std::string::npos);
}
