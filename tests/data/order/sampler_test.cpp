#include "data/order/sampler.h"

#include "core/base/error.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

// 4 rows of 8, then 10 rows of 6 from another mixture, then 2 rows of 32 from source 1 alone.
std::vector<Phase> three_phases() {
  return {{.from_tokens = 0, .sequence_length = 8, .batch_tokens = 32, .weights = {0.7, 0.3}},
          {.from_tokens = 100, .sequence_length = 6, .batch_tokens = 60, .weights = {0.25, 0.75}},
          {.from_tokens = 500, .sequence_length = 32, .batch_tokens = 64, .weights = {0, 1}}};
}

TEST_CASE("each row starts where the row before it in the same feed ended, across every change") {
  const Sampler sampler(three_phases());
  SamplerState state = sampler.start();
  std::vector<std::int64_t> expected(2, 0);
  StepRows step;
  for (int i = 0; i < 30; ++i) {
    sampler.rows_of_step(state, step);
    for (const RowAddress& row : step.rows) {
      REQUIRE(row.position == expected[row.source]);
      expected[row.source] += step.sequence_length;
    }
    sampler.advance(state);
    REQUIRE(state.feed_positions == expected);
    REQUIRE(state == step.after);
  }
}

TEST_CASE("a phase begins with the first step that starts at or after its token count") {
  const Sampler sampler(three_phases());
  SamplerState state = sampler.start();
  std::vector<std::int64_t> lengths;
  StepRows step;
  while (lengths.empty() || lengths.back() != 32) {
    sampler.rows_of_step(state, step);
    lengths.push_back(step.sequence_length);
    sampler.advance(state);
  }
  // 4 steps of 32 reach 128; 7 of 60 reach 548.
  CHECK(lengths == std::vector<std::int64_t>{8, 8, 8, 8, 6, 6, 6, 6, 6, 6, 6, 32});
  CHECK(state.tokens == 4 * 32 + 7 * 60 + 64);
}

TEST_CASE("a phase's mixture is counted from its first row") {
  const Sampler sampler(three_phases());
  SamplerState state = sampler.start();
  while (state.phase == 0) sampler.advance(state);
  const std::vector<std::int64_t> before = state.feed_positions;
  for (int i = 0; i < 4; ++i) sampler.advance(state);
  CHECK(state.feed_positions[0] - before[0] == 10 * 6);
  CHECK(state.feed_positions[1] - before[1] == 30 * 6);
}

TEST_CASE("step, tokens, rows and feed positions are enough to resume at any step") {
  const Sampler sampler(three_phases());
  SamplerState state = sampler.start();
  for (int i = 0; i < 30; ++i) {
    REQUIRE(sampler.resume(state.step, state.tokens, state.rows, state.feed_positions) == state);
    sampler.advance(state);
  }
}

TEST_CASE("the rows of a step have no memory of the steps before") {
  const Sampler sampler(three_phases());
  SamplerState state = sampler.start();
  for (int i = 0; i < 6; ++i) sampler.advance(state);
  StepRows first, second;
  sampler.rows_of_step(state, first);
  sampler.rows_of_step(sampler.start(), second);
  sampler.rows_of_step(state, second);
  CHECK(first.rows == second.rows);
}

TEST_CASE("phases that don't fit are refused with their numbers") {
  std::vector<Phase> phases = three_phases();
  phases[1].batch_tokens = 64;
  CHECK_THROWS_WITH(Sampler(phases),
                    "phase 1: batch_tokens 64 must be a multiple of sequence_length 6, for example 66");
  phases = three_phases();
  phases[2].from_tokens = 100;
  CHECK_THROWS_AS(Sampler(phases), Error);
  phases = three_phases();
  phases[0].from_tokens = 1;
  CHECK_THROWS_AS(Sampler(phases), Error);
  phases = three_phases();
  phases[2].weights = {1};
  CHECK_THROWS_AS(Sampler(phases), Error);
  phases = three_phases();
  phases[0].sequence_length = 0;
  CHECK_THROWS_AS(Sampler(phases), Error);
  CHECK_THROWS_AS(Sampler({}), Error);
}

TEST_CASE("a saved state with another number of sources is refused") {
  const Sampler sampler(three_phases());
  CHECK_THROWS_AS(sampler.resume(1, 32, 4, {8}), Error);
  CHECK_THROWS_AS(sampler.resume(1, -32, 4, {8, 8}), Error);
}

}  // namespace
}  // namespace drover
