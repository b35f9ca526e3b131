// What context ranks are fed, together and each: judged against the batch that one rank is fed, by the labels
// of tokens alone.
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <numeric>
#include <random>

#include "data/batch/batch_buffer.h"
#include "data/batch/holdout.h"
#include "data/batch/loader.h"
#include "tests/data/batch/fed_rows.h"
#include "tests/support/process_memory.h"

namespace drover {
namespace {

using Documents = std::vector<Piece>;  // of one row

std::vector<std::int32_t> all_of(const Tensor& tensor) { return values_of(tensor, 0, tensor.dims[0]); }

// Rows of random documents: of one token, longer than a row, of a few tokens; the last row may be filled up.
struct RandomRows {
  RandomRows(std::mt19937& random, int context_ranks)
      : length(context_ranks * std::uniform_int_distribution(1, 40)(random)),
        source("rows", lengths_of_documents(random), 1) {
    std::int64_t begin = 0;
    const int count = std::uniform_int_distribution(0, 3)(random);
    for (int row = 0; row < count; ++row) rows.push_back(cut_row(begin));
    if (count > 0 && random() % 3 == 0) shorten(rows.back());
  }

  std::vector<std::int64_t> lengths_of_documents(std::mt19937& random) const {
    std::vector<std::int64_t> lengths;
    for (std::int64_t total = 0; total <= 3 * length; total += lengths.back()) {
      const unsigned kind = random() % 6;
      const auto most = static_cast<unsigned>(kind == 0 ? 2 * length : length / (1 + random() % 12));
      lengths.push_back(kind < 2 ? 1 : 1 + random() % (most + 1));
    }
    return lengths;
  }

  Documents cut_row(std::int64_t& begin) const {
    Documents documents;
    for (std::int64_t end = begin + length; begin < end;) {
      std::int64_t stop = begin + 1;
      while (stop < end && !source.ends_document(stop - 1)) ++stop;
      documents.push_back({begin, stop - begin, source.ends_document(stop - 1)});
      begin = stop;
    }
    return documents;
  }

  static void shorten(Documents& documents) {
    if (documents.size() > 1) documents.pop_back();
  }

  std::int64_t length;
  LabelledSource source;
  std::vector<Documents> rows;
};

// One rank's microbatch, in memory of its own. A row and a microbatch that are of no interest stand before it.
struct Fed {
  Fed(const RandomRows& random, const ContextShare& share)
      : buffer(memory, random.length,
               static_cast<std::int64_t>(random.rows.size() + 1) * random.length / share.ranks, share) {
    buffer.clear();
    buffer.append_row(random.source, {}, random.length);
    buffer.finish_microbatch();
    for (const Documents& row : random.rows) buffer.append_row(random.source, row, random.length);
    batch = buffer.finish_microbatch();
  }

  HostMemory memory;
  BatchBuffer buffer;
  Microbatch batch;
};

// The place in the whole batch of every token that a rank holds, found by row, token and position: no two
// tokens of a row have the same token and position.
class Places {
 public:
  explicit Places(const Microbatch& whole) {
    for (std::int64_t i = 0; i < whole.size(); ++i) places_[key_of(whole, i)] = i;
    REQUIRE(static_cast<std::int64_t>(places_.size()) == whole.size());
  }

  std::vector<std::int64_t> of(const Microbatch& part) const {
    std::vector<std::int64_t> places;
    for (std::int64_t i = 0; i < part.size(); ++i) places.push_back(places_.at(key_of(part, i)));
    return places;
  }

 private:
  using Key = std::array<std::int64_t, 3>;

  static Key key_of(const Microbatch& batch, std::int64_t i) {
    return {i / (batch.size() / batch.rows), batch.tokens.as<std::int32_t>()[i],
            batch.positions.as<std::int32_t>()[i]};
  }

  std::map<Key, std::int64_t> places_;
};

// Per query the keys it may see, as a range.
std::vector<std::pair<int, int>> visible_keys(const Microbatch& batch) {
  std::vector<std::pair<int, int>> visible;
  for (const Segment& s : batch.segments) {
    for (std::int32_t i = 1; i <= s.q_length(); ++i)
      visible.emplace_back(s.kv_begin, s.kv_end - s.q_length() + i);
  }
  return visible;
}

// A rank's tokens, targets and visible keys are those of the same tokens in the whole batch, where keys in
// document order are the tokens themselves.
void check_part(const Microbatch& whole, const Microbatch& part, const std::vector<std::int64_t>& places) {
  check_segments(part.segments, part.size(), whole.size());
  const auto visible = visible_keys(part), visible_in_whole = visible_keys(whole);
  std::int64_t targets = 0;
  for (std::int64_t i = 0; i < part.size(); ++i) {
    const std::int32_t target = part.targets.as<std::int32_t>()[i];
    REQUIRE(target == whole.targets.as<std::int32_t>()[places[i]]);
    REQUIRE(visible[i] == visible_in_whole[places[i]]);
    targets += target != kNoTarget;
  }
  REQUIRE(part.valid_targets == targets);
  REQUIRE(std::is_sorted(places.begin(), places.end()));
}

// A new segment begins where the span of consecutive tokens of a document ends, and only there.
void check_segments_are_maximal(const Microbatch& part, const std::vector<std::int64_t>& places) {
  for (std::size_t s = 1; s < part.segments.size(); ++s) {
    const std::int32_t q = part.segments[s].q_begin;
    const bool goes_on =
        places[q] == places[q - 1] + 1 && part.segments[s].kv_begin == part.segments[s - 1].kv_begin;
    REQUIRE_FALSE(goes_on);
  }
}

void check_key_orders(const Microbatch& part, const std::vector<std::int64_t>& gathered) {
  const std::vector<std::int32_t> key_order = all_of(part.key_order);
  const std::vector<std::int32_t> gathered_order = all_of(part.gathered_order);
  REQUIRE(key_order.size() == gathered.size());
  REQUIRE(gathered_order.size() == gathered.size());
  for (std::size_t i = 0; i < gathered.size(); ++i) {
    REQUIRE(gathered[key_order[i]] == static_cast<std::int64_t>(i));
    REQUIRE(gathered_order[key_order[i]] == static_cast<std::int32_t>(i));
  }
}

void check_context_ranks(const RandomRows& random, int context_ranks, ContextPieces how) {
  const Fed whole(random, {});
  const Places places(whole.batch);
  std::vector<std::unique_ptr<Fed>> parts;
  std::vector<std::int64_t> gathered;  // places of all ranks' tokens, rank after rank
  for (int rank = 0; rank < context_ranks; ++rank) {
    parts.push_back(
        std::make_unique<Fed>(random, ContextShare{.rank = rank, .ranks = context_ranks, .pieces = how}));
    const Microbatch& part = parts.back()->batch;
    REQUIRE(part.rows == whole.batch.rows);
    REQUIRE(part.size() == whole.batch.rows * random.length / context_ranks);
    const std::vector<std::int64_t> of_rank = places.of(part);
    check_part(whole.batch, part, of_rank);
    check_segments_are_maximal(part, of_rank);
    gathered.insert(gathered.end(), of_rank.begin(), of_rank.end());
  }
  for (const auto& part : parts) check_key_orders(part->batch, gathered);
}

}  // namespace

TEST_CASE("context ranks together are fed the batch of one rank, and attend the same pairs") {
  std::mt19937 random(17);
  for (int draw = 0; draw < 400; ++draw) {
    const int context_ranks = 2 + draw % 15;
    const auto how = static_cast<ContextPieces>(draw % 3);
    INFO("draw " << draw << ", CP " << context_ranks);
    check_context_ranks(RandomRows(random, context_ranks), context_ranks, how);
  }
}

TEST_CASE("a context rank's positions count from the start of the document, not of what it holds") {
  const LabelledSource source("one", {16}, 1);
  HostMemory memory;
  BatchBuffer buffer(memory, 16, 8, {.rank = 1, .ranks = 2, .pieces = ContextPieces::head_tail});
  buffer.clear();
  buffer.append_row(source, Documents{{0, 16, true}}, 16);
  const Microbatch part = buffer.finish_microbatch();
  CHECK(all_of(part.tokens) == std::vector<std::int32_t>{5, 6, 7, 8, 9, 10, 11, 12});
  CHECK(all_of(part.positions) == std::vector<std::int32_t>{4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(std::vector(part.segments.begin(), part.segments.end()) == std::vector<Segment>{{0, 8, 0, 12}});
}

TEST_CASE("without context ranks there are no key orders, and an empty microbatch has empty ones") {
  const LabelledSource source("one", {16}, 1);
  HostMemory memory;
  BatchBuffer alone(memory, 16, 16), shared(memory, 16, 16, {.rank = 1, .ranks = 2});
  for (BatchBuffer* buffer : {&alone, &shared}) buffer->clear();
  alone.append_row(source, Documents{{0, 16, true}}, 16);
  CHECK(alone.finish_microbatch().key_order.empty());
  const Microbatch empty = shared.finish_microbatch();
  CHECK(empty.size() == 0);
  CHECK(empty.key_order.numel() == 0);
  CHECK(empty.segments.empty());
}

namespace {

constexpr std::int64_t kLength = 60;

LoaderOptions loader_options(const LabelledSource& source, int data_rank, const ContextShare& context) {
  return {.sources = {&source},
          .phases = {{.sequence_length = kLength, .batch_tokens = 7 * kLength, .weights = {1}}},
          .feed = {.seed = 5, .region_tokens = 500},
          .data_rank = data_rank,
          .data_ranks = 2,
          .microbatch_sequences = 3,
          .context = context};
}

// How often each (token, target, position) is fed in a step.
using FedTokens = std::map<std::array<std::int32_t, 3>, int>;

void add_tokens(const Microbatch& batch, FedTokens& fed) {
  for (std::int64_t i = 0; i < batch.size(); ++i)
    ++fed[{batch.tokens.as<std::int32_t>()[i], batch.targets.as<std::int32_t>()[i],
           batch.positions.as<std::int32_t>()[i]}];
}

struct FedStep {
  FedTokens tokens;
  std::int64_t valid_targets = 0, attended_pairs = 0, step_attended_pairs = 0;
  bool operator==(const FedStep&) const = default;
};

void add_step(Loader& loader, FedStep& fed) {
  const StepBatch& step = loader.next();
  fed.valid_targets += step.valid_targets;
  fed.attended_pairs += step.attended_pairs;
  fed.step_attended_pairs = step.step_attended_pairs;
  const std::vector<std::int64_t> sizes = loader.microbatch_sizes();
  for (const Microbatch& batch : step.microbatches) {
    REQUIRE(batch.size() <= loader.max_microbatch_tokens());
    REQUIRE((batch.rows == 0 || std::ranges::count(sizes, batch.size()) == 1));
    add_tokens(batch, fed.tokens);
  }
}

// The first steps of data rank 1, as its context ranks are fed them.
std::vector<FedStep> steps_fed(const LabelledSource& source, int context_ranks) {
  HostMemory memory;
  std::vector<FedStep> steps(20);
  for (int rank = 0; rank < context_ranks; ++rank) {
    Loader loader(memory, loader_options(source, 1, {.rank = rank, .ranks = context_ranks}));
    for (FedStep& step : steps) add_step(loader, step);
  }
  return steps;
}

}  // namespace

TEST_CASE("a data rank's steps are the same shared by 1, 2, 3, 4 or 15 context ranks") {
  const LabelledSource source("books", ragged_lengths(220, 21), 0);
  const std::vector<FedStep> expected = steps_fed(source, 1);
  for (const int context_ranks : {2, 3, 4, 15}) CHECK(steps_fed(source, context_ranks) == expected);
}

TEST_CASE(
    "every target of the hold-out is evaluated exactly once, however many context ranks share its rows") {
  const LabelledSource source("held out", ragged_lengths(60, 8), 1000);
  FedTokens expected;
  for (const int ranks : {1, 2, 3, 6}) {
    FedTokens fed;
    for (int rank = 0; rank < ranks; ++rank) {
      HostMemory memory;
      Holdout holdout(
          memory, source,
          {.sequence_length = 30, .microbatch_sequences = 3, .context = {.rank = rank, .ranks = ranks}});
      for (std::int64_t i = 0; i < holdout.microbatches(); ++i) {
        REQUIRE(holdout.microbatch(i).size() <= holdout.max_microbatch_tokens());
        add_tokens(holdout.microbatch(i), fed);
      }
    }
    if (ranks == 1) expected = fed;
    CHECK(fed == expected);
  }
}

TEST_CASE("rows that context ranks cannot share evenly are refused with the nearest lengths that they can") {
  const LabelledSource source("books", {1000}, 0);
  HostMemory memory;
  CHECK_THROWS_WITH(Loader(memory, loader_options(source, 0, {.rank = 0, .ranks = 7})),
                    Catch::Contains("60") && Catch::Contains("56 and 63"));
  CHECK_THROWS_WITH(Holdout(memory, source, {.sequence_length = 5, .context = {.rank = 0, .ranks = 7}}),
                    Catch::Contains("nearest: 7"));
}

TEST_CASE("what a context rank holds of thousands of rows takes no more memory than of the first") {
  const LabelledSource source("books", ragged_lengths(3000, 9), 0);
  HostMemory memory;
  Loader loader(memory, loader_options(source, 0, {.rank = 2, .ranks = 4}));
  for (int step = 0; step < 100; ++step) loader.next();
  const std::int64_t before = anonymous_kilobytes(), buffers = memory.ledger().buffers_made();
  for (int step = 0; step < 2000; ++step) loader.next();
  CHECK(memory.ledger().buffers_made() == buffers);
  CHECK(anonymous_kilobytes() - before < 256);
}

}  // namespace drover
