#include "data/batch/loader.h"

#include <algorithm>
#include <memory>

#include "core/base/error.h"
#include "tests/data/batch/fed_rows.h"
#include "tests/support/process_memory.h"

namespace drover {
namespace {

constexpr std::int64_t kRegionTokens = 500;

// Two ragged sources, told apart by their tokens.
struct TwoSources {
  LabelledSource books{"books", ragged_lengths(220, 21), 0};
  LabelledSource code{"code", ragged_lengths(90, 22), 100'000};

  const LabelledSource& of(std::int32_t token) const { return token < code.base() ? books : code; }
};

// Rows of 16, then rows of 40 from another mixture, then rows of 7.
std::vector<Phase> three_phases() {
  return {{.from_tokens = 0, .sequence_length = 16, .batch_tokens = 384, .weights = {0.7, 0.3}},
          {.from_tokens = 4'600, .sequence_length = 40, .batch_tokens = 480, .weights = {0.2, 0.8}},
          {.from_tokens = 14'200, .sequence_length = 7, .batch_tokens = 70, .weights = {0.5, 0.5}}};
}

LoaderOptions options_for(const TwoSources& sources, int rank = 0, int ranks = 1, int sequences = 1) {
  return {.sources = {&sources.books, &sources.code},
          .phases = three_phases(),
          .feed = {.seed = 5, .region_tokens = kRegionTokens},
          .data_rank = rank,
          .data_ranks = ranks,
          .microbatch_sequences = sequences};
}

void append_fed_rows(const StepBatch& batch, std::vector<FedRow>& rows) {
  std::int64_t pairs = 0;
  const std::size_t before = rows.size();
  for (const Microbatch& microbatch : batch.microbatches) {
    check_segments_follow_positions(microbatch);
    append_fed_rows(microbatch, batch.sequence_length, rows);
    pairs += attended_pairs(microbatch.segments);
  }
  REQUIRE(batch.attended_pairs == pairs);
  const std::vector<FedRow> mine(rows.begin() + static_cast<std::ptrdiff_t>(before), rows.end());
  REQUIRE(batch.valid_targets == count_targets(mine));
}

// One step of all data ranks, as rows in an order that says nothing of ranks.
struct FedStep {
  std::vector<FedRow> rows;
  std::int64_t valid_targets = 0, attended_pairs = 0, step_attended_pairs = 0;

  bool operator==(const FedStep&) const = default;
};

class Ranks {
 public:
  Ranks(const TwoSources& sources, int ranks, int sequences) {
    for (int rank = 0; rank < ranks; ++rank) {
      loaders_.push_back(std::make_unique<Loader>(memory_, options_for(sources, rank, ranks, sequences)));
    }
  }

  FedStep next() {
    FedStep step;
    for (const auto& loader : loaders_) {
      const StepBatch& batch = loader->next();
      append_fed_rows(batch, step.rows);
      step.valid_targets += batch.valid_targets;
      step.attended_pairs += batch.attended_pairs;
      step.step_attended_pairs = batch.step_attended_pairs;
      REQUIRE(loader->state() == loaders_.front()->state());
    }
    std::sort(step.rows.begin(), step.rows.end());
    return step;
  }

 private:
  HostMemory memory_;
  std::vector<std::unique_ptr<Loader>> loaders_;
};

// How often each token of a source was fed.
class Uses {
 public:
  explicit Uses(const LabelledSource& source)
      : source_(source), uses_(static_cast<std::size_t>(source.total_tokens()), 0) {}

  void add(const FedRow& row) {
    for (const std::int32_t token : row.tokens) ++uses_.at(static_cast<std::size_t>(token - source_.base()));
    fed_ += static_cast<std::int64_t>(row.tokens.size());
  }

  std::int64_t epochs() const { return fed_ / source_.total_tokens(); }

  // After k whole epochs and a part of r tokens, r tokens were fed k + 1 times and all others k times.
  void check_once_per_epoch() const {
    const std::int64_t once_more = std::count(uses_.begin(), uses_.end(), epochs() + 1);
    REQUIRE(once_more == fed_ % source_.total_tokens());
    REQUIRE(std::count(uses_.begin(), uses_.end(), epochs()) == source_.total_tokens() - once_more);
  }

  // Whether some region is fed in part. A region ends at the first document end at or beyond kRegionTokens.
  bool inside_a_region() const {
    std::int64_t begin = 0;
    for (std::int64_t d = 1; d <= source_.document_count(); ++d) {
      const std::int64_t end = source_.offset(d);
      if (end - begin < kRegionTokens && d < source_.document_count()) continue;
      const auto [least, most] = std::minmax_element(uses_.begin() + begin, uses_.begin() + end);
      if (*least != *most) return true;
      begin = end;
    }
    return false;
  }

 private:
  const LabelledSource& source_;
  std::vector<std::int64_t> uses_;
  std::int64_t fed_ = 0;
};

// Any number of documents of 10,000 tokens, by formula.
class EndlessSource final : public TokenSource {
 public:
  explicit EndlessSource(std::int64_t documents) : documents_(documents) {}
  const std::string& name() const override { return name_; }
  std::int64_t document_count() const override { return documents_; }
  std::int64_t offset(std::int64_t document) const override { return document * 10'000; }
  void read(std::int64_t begin, std::span<std::int32_t> out) const override {
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<std::int32_t>((begin + static_cast<std::int64_t>(i)) % 1000);
  }
  std::int64_t vocab_size() const override { return 1000; }
  const std::string& tokenizer_digest() const override { return name_; }
  std::int64_t text_bytes() const override { return 4 * total_tokens(); }

 private:
  std::int64_t documents_;
  std::string name_ = "endless";
};

}  // namespace

TEST_CASE("over epochs, lengths and mixtures every token of every source is fed exactly once per epoch") {
  const TwoSources sources;
  const int ranks = GENERATE(1, 2, 5);
  Ranks loaders(sources, ranks, 2);
  Uses books(sources.books), code(sources.code);
  std::vector<std::size_t> lengths{16};
  while (books.epochs() < 3 || code.epochs() < 3 || lengths.size() < 3) {
    const FedStep step = loaders.next();
    if (step.rows.front().tokens.size() != lengths.back()) {
      lengths.push_back(step.rows.front().tokens.size());
      CHECK(books.inside_a_region());  // the change comes in the middle of one, or this test shows little
      CHECK(code.inside_a_region());
    }
    for (const FedRow& row : step.rows) {
      const LabelledSource& source = sources.of(row.tokens.front());
      check_row(source, row);
      (&source == &sources.books ? books : code).add(row);
    }
    books.check_once_per_epoch();
    code.check_once_per_epoch();
  }
  CHECK(lengths == std::vector<std::size_t>{16, 40, 7});
}

TEST_CASE("the batch of every step is the same on 1, 2 and 5 ranks, whatever a microbatch holds") {
  const TwoSources sources;
  Ranks one(sources, 1, 1), two(sources, 2, 3), five(sources, 5, 2), many(sources, 31, 1);
  for (int step = 0; step < 60; ++step) {
    const FedStep expected = one.next();
    INFO("step " << step);
    REQUIRE(expected.attended_pairs == expected.step_attended_pairs);
    REQUIRE(two.next() == expected);
    REQUIRE(five.next() == expected);
    REQUIRE(many.next() == expected);
  }
}

TEST_CASE("every rank has as many microbatches as every other, and none above what is announced") {
  const TwoSources sources;
  HostMemory memory;
  Loader first(memory, options_for(sources, 0, 7, 2)), last(memory, options_for(sources, 6, 7, 2));
  for (int step = 0; step < 60; ++step) {
    const StepBatch &a = first.next(), &b = last.next();
    REQUIRE(a.step == step);
    REQUIRE(a.microbatches.size() == b.microbatches.size());
    REQUIRE(static_cast<std::int64_t>(a.microbatches.size()) <= first.max_microbatches());
    for (const Microbatch& microbatch : a.microbatches)
      REQUIRE(microbatch.size() <= first.max_microbatch_tokens());
  }
}

TEST_CASE("from any saved state a loader goes on exactly as the one that saved it") {
  const TwoSources sources;
  HostMemory memory;
  Loader whole(memory, options_for(sources));
  std::vector<SamplerState> states{whole.state()};
  std::vector<std::vector<FedRow>> steps;
  for (int step = 0; step < 40; ++step) {
    append_fed_rows(whole.next(), steps.emplace_back());
    states.push_back(whole.state());
  }
  Loader sought(memory, options_for(sources));
  for (const std::size_t at : {7u, 39u, 0u, 12u, 13u}) {
    Loader resumed(memory, options_for(sources), states[at]);
    sought.seek(states[at]);
    for (std::size_t step = at; step < std::min<std::size_t>(at + 3, 40); ++step) {
      std::vector<FedRow> from_start, from_seek;
      append_fed_rows(resumed.next(), from_start);
      append_fed_rows(sought.next(), from_seek);
      REQUIRE(from_start == steps[step]);
      REQUIRE(from_seek == steps[step]);
      REQUIRE(sought.state() == states[step + 1]);
    }
  }
}

TEST_CASE("what the reading thread throws comes out of the step it was meant for, until the loader seeks") {
  TwoSources sources;
  HostMemory memory;
  std::vector<FedRow> rows;
  SamplerState before_third;
  {
    Loader loader(memory, options_for(sources));
    for (int step = 0; step < 2; ++step) loader.next();
    before_third = loader.state();
    append_fed_rows(loader.next(), rows);
  }
  sources.books.unreadable = {rows.front().tokens.front()};
  REQUIRE(&sources.of(rows.front().tokens.front()) == &sources.books);
  Loader loader(memory, options_for(sources));
  CHECK_NOTHROW(loader.next());
  CHECK_NOTHROW(loader.next());
  CHECK(loader.state() == before_third);
  CHECK_THROWS_WITH(loader.next(), "unreadable");
  CHECK_THROWS_WITH(loader.next(), "unreadable");
  CHECK(loader.state() == before_third);
  loader.seek(loader.sampler().start());
  CHECK_NOTHROW(loader.next());
}

TEST_CASE("a loader that is destroyed while it reads ends quietly") {
  const TwoSources sources;
  HostMemory memory;
  for (int i = 0; i < 50; ++i) Loader(memory, options_for(sources));
}

TEST_CASE("a loader's memory is the same for ten million and for ten billion tokens") {
  const auto memory_of = [](std::int64_t documents) {
    const EndlessSource source(documents);
    const std::int64_t before = anonymous_kilobytes();
    HostMemory memory;
    Loader loader(memory, {.sources = {&source},
                           .phases = {{.sequence_length = 4096, .batch_tokens = 65536, .weights = {1}}}});
    for (int step = 0; step < 20; ++step) loader.next();
    // In another region of another epoch, too.
    SamplerState far = loader.sampler().start();
    far.feed_positions = {3 * source.total_tokens() / 2};
    loader.seek(far);
    loader.next();
    return anonymous_kilobytes() - before;
  };
  memory_of(1'000);  // the first one pays for what the process keeps
  const std::int64_t small = memory_of(1'000), large = memory_of(1'000'000);
  CHECK(EndlessSource(1'000'000).total_tokens() == 10'000'000'000);
  CHECK(large < small + 2048);
}

}  // namespace drover
