#include "data/order/feed.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "tests/data/order/labelled_source.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

std::vector<Piece> pieces_of(Feed& feed, std::int64_t position, std::int64_t count) {
  std::vector<Piece> pieces;
  feed.append_pieces(position, count, pieces);
  return pieces;
}

// Source tokens in feed order.
std::vector<std::int64_t> tokens_of(Feed& feed, std::int64_t position, std::int64_t count) {
  std::vector<std::int64_t> tokens;
  for (const Piece& piece : pieces_of(feed, position, count)) {
    for (std::int64_t i = 0; i < piece.length; ++i) tokens.push_back(piece.source_begin + i);
  }
  return tokens;
}

TEST_CASE("every epoch feeds every token exactly once, whatever the length of the reads") {
  const LabelledSource source("ragged", ragged_lengths(400, 1));
  for (const std::int64_t row : {1, 37, 1000, 9999}) {
    Feed feed(source, {.seed = 3, .region_tokens = 500});
    const std::int64_t epoch = feed.epoch_tokens();
    std::vector<std::int64_t> fed;
    while (static_cast<std::int64_t>(fed.size()) < 3 * epoch) {
      for (const std::int64_t token : tokens_of(feed, static_cast<std::int64_t>(fed.size()), row))
        fed.push_back(token);
    }
    for (int e = 0; e < 3; ++e) {
      std::vector<std::int64_t> once(fed.begin() + e * epoch, fed.begin() + (e + 1) * epoch);
      std::sort(once.begin(), once.end());
      for (std::int64_t i = 0; i < epoch; ++i) REQUIRE(once[i] == i);
    }
  }
}

TEST_CASE("reading at any position gives what reading from the start gives") {
  const LabelledSource source("ragged", ragged_lengths(200, 2));
  const FeedOptions options{.seed = 9, .region_tokens = 300};
  Feed feed(source, options);
  const std::vector<std::int64_t> all = tokens_of(feed, 0, 3 * feed.epoch_tokens());
  std::mt19937 random(4);
  for (int i = 0; i < 300; ++i) {
    const std::int64_t position = random() % (2 * feed.epoch_tokens()), count = 1 + random() % 700;
    const std::vector<std::int64_t> expected(all.begin() + position, all.begin() + position + count);
    REQUIRE(tokens_of(feed, position, count) == expected);
  }
}

TEST_CASE("pieces are documents, cut only by the ends of the range") {
  const LabelledSource source("ragged", ragged_lengths(200, 5));
  Feed feed(source, {.seed = 1, .region_tokens = 300});
  const std::vector<Piece> pieces = pieces_of(feed, 13, feed.epoch_tokens());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::int64_t last = pieces[i].source_begin + pieces[i].length - 1;
    CHECK(pieces[i].length >= 1);
    CHECK(pieces[i].ends_document == source.ends_document(last));
    if (i > 0) CHECK((pieces[i].source_begin == 0 || source.ends_document(pieces[i].source_begin - 1)));
    if (i + 1 < pieces.size()) CHECK(pieces[i].ends_document);
    for (std::int64_t t = pieces[i].source_begin; t < last; ++t) REQUIRE(!source.ends_document(t));
  }
}

TEST_CASE("a piece that does not end its document is continued by the next read") {
  const LabelledSource source("long", {100, 100, 100});
  Feed feed(source, {});
  const Piece first = pieces_of(feed, 0, 60).front();
  const Piece second = pieces_of(feed, 60, 60).front();
  CHECK(!first.ends_document);
  CHECK(second == Piece{first.source_begin + 60, 40, true});
}

TEST_CASE("the documents of a region stay together, and no region is much longer than asked for") {
  const LabelledSource source("even", std::vector<std::int64_t>(100, 10));
  Feed feed(source, {.seed = 2, .region_tokens = 95});  // ten documents each
  const std::vector<std::int64_t> tokens = tokens_of(feed, 0, 1000);
  std::vector<std::int64_t> regions;
  for (const std::int64_t token : tokens) {
    if (regions.empty() || regions.back() != token / 100) regions.push_back(token / 100);
  }
  CHECK(regions.size() == 10);
  CHECK(!std::is_sorted(regions.begin(), regions.end()));
  CHECK(!std::is_sorted(tokens.begin(), tokens.begin() + 100));
}

TEST_CASE("a region is also closed by its number of documents") {
  const LabelledSource source("single tokens", std::vector<std::int64_t>(100, 1));
  Feed feed(source, {.seed = 2, .region_documents = 10});
  const std::vector<std::int64_t> tokens = tokens_of(feed, 0, 100);
  for (int i = 0; i < 100; ++i) CHECK(tokens[i] / 10 == tokens[i / 10 * 10] / 10);
}

TEST_CASE("the order changes with the epoch, the seed and the source's name") {
  const std::vector<std::int64_t> lengths = ragged_lengths(300, 6);
  const LabelledSource source("a", lengths), other_name("b", lengths);
  Feed feed(source, {.seed = 1, .region_tokens = 500}), again(source, {.seed = 1, .region_tokens = 500});
  Feed seed(source, {.seed = 2, .region_tokens = 500}), name(other_name, {.seed = 1, .region_tokens = 500});
  const std::int64_t epoch = feed.epoch_tokens();
  const std::vector<std::int64_t> first = tokens_of(feed, 0, epoch);
  CHECK(first == tokens_of(again, 0, epoch));
  CHECK(first != tokens_of(feed, epoch, epoch));
  CHECK(first != tokens_of(seed, 0, epoch));
  CHECK(first != tokens_of(name, 0, epoch));
}

TEST_CASE("one document is fed again and again, each time as a document of its own") {
  const LabelledSource source("one", {5});
  Feed feed(source, {});
  CHECK(pieces_of(feed, 3, 9) == std::vector<Piece>{{3, 2, true}, {0, 5, true}, {0, 2, false}});
}

TEST_CASE("empty documents are never fed") {
  const LabelledSource source("holes", {0, 0, 3, 0, 2, 0});
  Feed feed(source, {.region_tokens = 1});
  for (std::int64_t position = 0; position < 20; ++position) {
    for (const Piece& piece : pieces_of(feed, position, 5)) REQUIRE(piece.length > 0);
  }
}

TEST_CASE("a source without tokens is an input error that names it") {
  const LabelledSource source("nothing.h5", {0, 0});
  CHECK_THROWS_WITH(Feed(source, {}), Catch::Contains("nothing.h5"));
}

}  // namespace
}  // namespace drover
