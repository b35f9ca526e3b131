#include "data/batch/holdout.h"

#include <algorithm>
#include <array>
#include <map>
#include <numbers>

#include "core/base/error.h"
#include "tests/data/batch/fed_rows.h"

namespace drover {
namespace {

using Targets = std::map<std::int32_t, int>;  // target to how often it was fed

// Of all ranks.
Targets targets_fed(const TokenSource& source, HoldoutOptions options, int ranks) {
  HostMemory memory;
  Targets fed;
  options.data_ranks = ranks;
  for (options.data_rank = 0; options.data_rank < ranks; ++options.data_rank) {
    Holdout holdout(memory, source, options);
    for (std::int64_t i = 0; i < holdout.microbatches(); ++i) {
      const Microbatch& batch = holdout.microbatch(i);
      REQUIRE(batch.rows <= options.microbatch_sequences);
      check_segments_follow_positions(batch);
      std::int64_t targets = 0;
      for (const std::int32_t target : values_of(batch.targets, 0, batch.size())) {
        if (target != kNoTarget) ++fed[target], ++targets;
      }
      REQUIRE(batch.valid_targets == targets);
    }
  }
  return fed;
}

// Every token but the first of each document, once.
Targets every_target(const LabelledSource& source) {
  Targets expected;
  for (std::int64_t d = 0; d < source.document_count(); ++d) {
    for (std::int64_t t = source.offset(d) + 1; t < source.offset(d + 1); ++t) {
      expected[source.base() + static_cast<std::int32_t>(t)] = 1;
    }
  }
  return expected;
}

// Document 1 ends before it begins, as a damaged store could have it.
class BackwardSource final : public TokenSource {
 public:
  const std::string& name() const override { return name_; }
  std::int64_t document_count() const override { return 3; }
  std::int64_t offset(std::int64_t document) const override { return std::array{0, 5, 3, 8}[document]; }
  void read(std::int64_t, std::span<std::int32_t> out) const override { std::ranges::fill(out, 0); }
  std::int64_t vocab_size() const override { return 1; }
  const std::string& tokenizer_digest() const override { return name_; }
  std::int64_t text_bytes() const override { return 8; }

 private:
  std::string name_ = "backward";
};

}  // namespace

TEST_CASE("a hold-out with a document that ends before it begins is refused") {
  HostMemory memory;
  CHECK_THROWS_AS(Holdout(memory, BackwardSource(), {.sequence_length = 4}), Error);
}

TEST_CASE("a hold-out takes memory for the rows it has, not for those a microbatch could have") {
  HostMemory memory;
  const LabelledSource source("held out", ragged_lengths(6, 8), 1000);
  const Holdout holdout(memory, source, {.sequence_length = 16, .max_rows = 2, .microbatch_sequences = 1000});
  CHECK(holdout.max_microbatch_tokens() == 2 * 16);
}

TEST_CASE("every target of the hold-out is evaluated exactly once, whatever the row length and the ranks") {
  const LabelledSource source("held out", ragged_lengths(60, 8), 1000);
  const Targets expected = every_target(source);
  for (const std::int64_t length : {1, 7, 64, 5000}) {
    for (const int ranks : {1, 2, 5}) {
      for (const int sequences : {1, 3}) {
        INFO("T " << length << ", " << ranks << " ranks, " << sequences << " sequences");
        const HoldoutOptions options{.sequence_length = length, .microbatch_sequences = sequences};
        REQUIRE(targets_fed(source, options, ranks) == expected);
      }
    }
  }
  HostMemory memory;
  CHECK(Holdout(memory, source, {.sequence_length = 64}).total_targets() ==
        static_cast<std::int64_t>(expected.size()));
}

TEST_CASE("every rank evaluates as many microbatches, also those that have no rows left") {
  const LabelledSource source("short", {25}, 1);
  HostMemory memory;
  Holdout first(memory, source, {.sequence_length = 10, .data_rank = 0, .data_ranks = 4});
  Holdout last(memory, source, {.sequence_length = 10, .data_rank = 3, .data_ranks = 4});
  CHECK(first.rows() == 3);
  CHECK(first.microbatches() == 1);
  CHECK(last.microbatches() == 1);
  CHECK(first.microbatch(0).rows == 1);
  CHECK(last.microbatch(0).rows == 0);
}

TEST_CASE("a sample of the hold-out is evenly spaced rows of it") {
  const LabelledSource source("long", {1000}, 0);
  HostMemory memory;
  Holdout sample(memory, source, {.sequence_length = 10, .max_rows = 4});
  REQUIRE(sample.rows() == 4);
  std::vector<std::int32_t> first_tokens;
  for (std::int64_t i = 0; i < 4; ++i)
    first_tokens.push_back(*sample.microbatch(i).tokens.as<std::int32_t>());
  CHECK(first_tokens == std::vector<std::int32_t>{0, 250, 500, 750});
}

TEST_CASE("a sample larger than the hold-out is the whole of it") {
  const LabelledSource source("short", {25}, 1);
  CHECK(targets_fed(source, {.sequence_length = 10, .max_rows = 100}, 1) == every_target(source));
}

TEST_CASE("bits per byte are bits of all targets over bytes of the documents' text") {
  const LabelledSource source("held out", {5, 0, 3}, 1);  // 8 tokens, 6 targets, 32 bytes of text
  HostMemory memory;
  const Holdout holdout(memory, source, {.sequence_length = 4});
  CHECK(holdout.bits_per_byte(std::numbers::ln2) == Approx(6.0 / 32));
  CHECK(holdout.bits_per_byte(2 * std::numbers::ln2) == Approx(12.0 / 32));
}

TEST_CASE("a hold-out without tokens is an input error that names it") {
  const LabelledSource source("empty.h5", {0, 0});
  HostMemory memory;
  CHECK_THROWS_WITH(Holdout(memory, source, {.sequence_length = 4}), Catch::Contains("empty.h5"));
}

}  // namespace drover
