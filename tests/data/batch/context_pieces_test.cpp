#include "data/batch/context_pieces.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

using Pieces = std::vector<ContextPiece>;

std::int64_t total(const std::vector<std::int64_t>& lengths) {
  return std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
}

std::vector<Piece> documents_of(const std::vector<std::int64_t>& lengths) {
  std::vector<Piece> documents;
  std::int64_t begin = 0;
  for (const std::int64_t length : lengths) {
    documents.push_back({begin, length, true});
    begin += length;
  }
  return documents;
}

Pieces cut(int ranks, ContextPieces how, const std::vector<std::int64_t>& lengths) {
  ContextCutter cutter(ranks, how, total(lengths));
  const auto pieces = cutter.cut(documents_of(lengths));
  return {pieces.begin(), pieces.end()};
}

double unevenness(int ranks, ContextPieces how, const std::vector<std::int64_t>& lengths) {
  ContextCutter cutter(ranks, how, total(lengths));
  cutter.cut(documents_of(lengths));
  return cutter.unevenness();
}

std::vector<std::int64_t> random_lengths(std::mt19937& random, std::int64_t total) {
  std::vector<std::int64_t> lengths;
  while (total > 0) {
    lengths.push_back(std::min<std::int64_t>(total, 1 + random() % (random() % 5 == 0 ? total : 20)));
    total -= lengths.back();
  }
  return lengths;
}

// One by one: a token attends its document's tokens up to it.
std::vector<std::int64_t> pairs_by_counting(const std::vector<std::int64_t>& lengths, const Pieces& pieces,
                                            int ranks) {
  std::vector<std::int64_t> keys, pairs(ranks, 0);
  for (const std::int64_t length : lengths)
    for (std::int64_t i = 1; i <= length; ++i) keys.push_back(i);
  for (const ContextPiece& piece : pieces)
    for (std::int64_t i = piece.begin; i < piece.end; ++i) pairs[piece.rank] += keys[i];
  return pairs;
}

}  // namespace

TEST_CASE("head-tail gives rank i the i-th chunk from the front and the i-th from the end") {
  CHECK(cut(2, ContextPieces::head_tail, {16}) == Pieces{{0, 4, 0}, {4, 12, 1}, {12, 16, 0}});
  CHECK(cut(3, ContextPieces::head_tail, {12}) ==
        Pieces{{0, 2, 0}, {2, 4, 1}, {4, 8, 2}, {8, 10, 1}, {10, 12, 0}});
}

TEST_CASE("where twice the ranks don't divide a row, head-tail chunks are a token longer in its first half") {
  CHECK(cut(2, ContextPieces::head_tail, {6}) == Pieces{{0, 2, 0}, {2, 5, 1}, {5, 6, 0}});
  CHECK(cut(3, ContextPieces::head_tail, {3}) == Pieces{{0, 1, 0}, {1, 2, 1}, {2, 3, 2}});
}

TEST_CASE("head-tail is even for a row of one document, whatever the number of ranks") {
  for (int ranks = 1; ranks <= 64; ++ranks)
    CHECK(unevenness(ranks, ContextPieces::head_tail, {ranks * std::int64_t{128}}) < 1.0001);
}

TEST_CASE("pieces cover the row, neighbours are of different ranks, and every rank has as many tokens") {
  std::mt19937 random(3);
  for (int draw = 0; draw < 500; ++draw) {
    const int ranks = 1 + draw % 16;
    const std::vector<std::int64_t> lengths = random_lengths(random, ranks * (1 + random() % 300));
    ContextCutter cutter(ranks, static_cast<ContextPieces>(random() % 3), total(lengths));
    const auto answer = cutter.cut(documents_of(lengths));
    const Pieces pieces(answer.begin(), answer.end());
    std::vector<std::int64_t> tokens(ranks, 0);
    std::int64_t end = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      REQUIRE(pieces[i].begin == end);
      REQUIRE(pieces[i].length() > 0);
      REQUIRE((i == 0 || pieces[i].rank != pieces[i - 1].rank));
      tokens.at(pieces[i].rank) += pieces[i].length();
      end = pieces[i].end;
    }
    REQUIRE(end == total(lengths));
    REQUIRE(std::ranges::count(tokens, end / ranks) == ranks);
    REQUIRE(std::ranges::equal(cutter.pairs_per_rank(), pairs_by_counting(lengths, pieces, ranks)));
  }
}

TEST_CASE("automatic stays with head-tail where that is even, and otherwise balances") {
  const std::vector<std::int64_t> one_document{4096}, a_long_first_half{2048, 1024, 512, 512};
  CHECK(cut(4, ContextPieces::automatic, one_document) == cut(4, ContextPieces::head_tail, one_document));
  CHECK(unevenness(4, ContextPieces::head_tail, a_long_first_half) > 1.05);
  CHECK(cut(4, ContextPieces::automatic, a_long_first_half) ==
        cut(4, ContextPieces::balanced, a_long_first_half));
  CHECK(unevenness(4, ContextPieces::automatic, a_long_first_half) <= 1.05);
}

TEST_CASE("balanced pieces are as even when fine pieces don't divide a rank's tokens") {
  for (const std::int64_t length : {4099, 4100, 4111, 4127}) {
    const std::vector<std::int64_t> lengths{3 * length, 2 * length, 2 * length, length};
    CHECK(unevenness(8, ContextPieces::balanced, lengths) <= 1.05);
  }
}

TEST_CASE("a cutter has no memory of the rows it cut before") {
  std::mt19937 random(4);
  ContextCutter used(4, ContextPieces::automatic, 1200);
  for (int draw = 0; draw < 50; ++draw) {
    const std::vector<std::int64_t> lengths = random_lengths(random, 4 * (1 + random() % 300));
    const auto pieces = used.cut(documents_of(lengths));
    REQUIRE(Pieces(pieces.begin(), pieces.end()) == cut(4, ContextPieces::automatic, lengths));
  }
}

TEST_CASE("names of ways to cut a row are those of parallel.context_pieces") {
  CHECK(context_pieces_named("auto") == ContextPieces::automatic);
  CHECK(context_pieces_named("head_tail") == ContextPieces::head_tail);
  CHECK(context_pieces_named("balanced") == ContextPieces::balanced);
  CHECK_THROWS_WITH(context_pieces_named("zigzag"),
                    Catch::Contains("zigzag") && Catch::Contains("auto, head_tail or balanced"));
}

}  // namespace drover
