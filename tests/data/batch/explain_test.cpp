#include "data/batch/explain.h"

#include "core/base/error.h"
#include "data/batch/step_plan.h"
#include "tests/data/order/labelled_source.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

// Rows of 16 tokens, 5 in a step, for 2 data ranks and 2 context ranks.
LoaderOptions options_of(const TokenSource& source) {
  return {.sources = {&source},
          .phases = {{.sequence_length = 16, .batch_tokens = 80, .weights = {1}}},
          .data_ranks = 2,
          .microbatch_sequences = 2,
          .context = {.ranks = 2}};
}

}  // namespace

TEST_CASE("an explained step says who has which rows, and what context ranks hold of the first ones") {
  const LabelledSource source("books", {160});
  CHECK(explain_step(options_of(source), 1) ==
        R"(step 1: 5 rows of 16 tokens, 680 attended pairs
2 data ranks x 2 microbatches, rows shared by 2 context ranks

data rank  microbatch     attended pairs  rows
        0           0                272  0 4
        0           1                136  1
        1           0                136  2
        1           1                136  3

data rank     attended pairs  of the mean
        0                408        1.200
        1                272        0.800
heaviest data rank: 1.200 of the mean; heaviest microbatch: 1.600 of the mean

row 0: feed position 0 of books, documents: 1
  documents     AAAAAAAAAAAAAAAA
  context ranks 0000111111110000
context rank     attended pairs  of the mean  pieces
           0                 68        1.000  [0, 4) [12, 16), 8 tokens
           1                 68        1.000  [4, 12), 8 tokens
heaviest context rank: 1.000 of the mean

row 4: feed position 64 of books, documents: 1
  documents     AAAAAAAAAAAAAAAA
  context ranks 0000111111110000
context rank     attended pairs  of the mean  pieces
           0                 68        1.000  [0, 4) [12, 16), 8 tokens
           1                 68        1.000  [4, 12), 8 tokens
heaviest context rank: 1.000 of the mean
)");
}

TEST_CASE("a later step is explained as the sampler comes to it") {
  const LabelledSource source("books", {1000, 1, 7, 300});
  const LoaderOptions options = options_of(source);
  StepPlanner planner(options);
  SamplerState state = planner.sampler().start();
  for (int step = 0; step < 7; ++step) planner.sampler().advance(state);
  planner.plan(state);
  const std::string text = explain_step(options, 8);
  CHECK_THAT(text, Catch::Contains("step 8: 5 rows"));
  CHECK_THAT(text, Catch::Contains(cat(planner.total_pairs(), " attended pairs")));
  const std::int32_t row = planner.assigned().rows_of(0, 0).front();
  CHECK_THAT(text, Catch::Contains(cat("feed position ", planner.rows().rows[row].position)));
}

TEST_CASE("a step whose rows context ranks cannot share is refused, not explained") {
  const LabelledSource source("books", {1000});
  LoaderOptions options = options_of(source);
  options.context.ranks = 3;
  CHECK_THROWS_WITH(explain_step(options, 1), Catch::Contains("multiple of parallel.context = 3"));
}

TEST_CASE("a row is drawn by the first token of every column, and never wider than it has tokens") {
  const std::vector<Piece> documents{{0, 5, true}, {0, 1, true}, {0, 6, true}};
  CHECK(draw_documents(documents, 64) == "AAAAABCCCCCC");
  CHECK(draw_documents(documents, 4) == "AACC");
  const std::vector<ContextPiece> pieces{{0, 4, 0}, {4, 8, 11}, {8, 12, 3}};
  CHECK(draw_pieces(pieces, 12) == "0000bbbb3333");
  CHECK(draw_pieces(pieces, 3) == "0b3");
}

}  // namespace drover
