// How even attended pairs are on log-normal documents, as docs/context_parallel.md states it. These tests print
// that page's tables; nothing in them depends on the machine.
#include <algorithm>
#include <iomanip>
#include <iostream>
#include <numeric>
#include <sstream>

#include "core/base/error.h"
#include "data/batch/context_pieces.h"
#include "data/batch/explain.h"
#include "data/order/assignment.h"
#include "tests/data/order/lognormal_rows.h"
#include "tests/support/markdown_tables.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

constexpr unsigned kSeed = 11;

double worst(const std::vector<double>& values) { return *std::max_element(values.begin(), values.end()); }

std::string three_digits(double value) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(3) << value;
  return text.str();
}

std::string cell(const std::vector<double>& values) {
  return cat(three_digits(median(values)), " / ", three_digits(worst(values)));
}

// `number`: of the table on the page.
void check_table(const Table& table, std::size_t number) {
  for (const TableRow& row : table) {
    for (const std::string& text : row) std::cout << "| " << text << ' ';
    std::cout << "|\n";
  }
  CHECK(tables_of(page_of_docs("context_parallel.md")).at(number) == table);
}

// The heaviest of ranks that hold a row's tokens in order, over the mean.
double contiguous_unevenness(std::span<const Piece> row, int ranks) {
  RowPairs pairs;
  pairs.measure(row);
  const std::int64_t share = pairs.tokens() / ranks;
  std::int64_t heaviest = 0;
  for (int rank = 0; rank < ranks; ++rank)
    heaviest = std::max(heaviest, pairs.of(rank * share, (rank + 1) * share));
  return static_cast<double>(heaviest) * ranks / static_cast<double>(pairs.total());
}

std::vector<double> unevenness(const std::vector<std::vector<Piece>>& rows, int ranks, ContextPieces how) {
  std::vector<double> values;
  for (const std::vector<Piece>& row : rows) {
    ContextCutter cutter(ranks, how, total_length(row));
    cutter.cut(row);
    values.push_back(cutter.unevenness());
  }
  return values;
}

std::vector<std::vector<Piece>> hundred_rows(std::int64_t length) {
  LognormalRows source(length, kSeed);
  std::vector<std::vector<Piece>> rows;
  for (int i = 0; i < 100; ++i) rows.push_back(source.next());
  return rows;
}

}  // namespace

TEST_CASE("context ranks' attended pairs are even to 5 percent on log-normal documents") {
  Table table;
  for (const std::int64_t length : {8192, 131072}) {
    const std::vector<std::vector<Piece>> rows = hundred_rows(length);
    for (const int ranks : {2, 4, 8, 16}) {
      const std::vector<double> automatic = unevenness(rows, ranks, ContextPieces::automatic);
      CHECK(median(automatic) <= 1.05);
      CHECK(worst(automatic) <= 1.05);
      std::vector<double> contiguous;
      for (const std::vector<Piece>& row : rows) contiguous.push_back(contiguous_unevenness(row, ranks));
      table.push_back({cat(length), cat(ranks), cell(contiguous),
                       cell(unevenness(rows, ranks, ContextPieces::head_tail)),
                       cell(unevenness(rows, ranks, ContextPieces::balanced)), cell(automatic)});
    }
  }
  check_table(table, 1);
}

namespace {

std::vector<std::int64_t> rank_sums(const RowAssigner& assigner, std::span<const std::int64_t> pairs,
                                    int ranks) {
  std::vector<std::int64_t> sums(ranks, 0);
  for (int rank = 0; rank < ranks; ++rank) {
    for (std::int64_t i = 0; i < assigner.microbatches(); ++i) {
      for (const std::int32_t row : assigner.rows_of(rank, i)) sums[rank] += pairs[row];
    }
  }
  return sums;
}

// Of 64 rows on 8 ranks, 8 each: the heaviest rank over the mean; the least that could be, since some rank
// has the heaviest row and at least the 7 lightest; and the heaviest row over the mean.
struct RowBalance {
  std::vector<double> reached, bound, slot;

  void add(std::vector<std::int64_t> pairs) {
    RowAssigner assigner(8, 1);
    assigner.assign(pairs);
    const std::vector<std::int64_t> sums = rank_sums(assigner, pairs, 8);
    const double mean = static_cast<double>(std::accumulate(pairs.begin(), pairs.end(), std::int64_t{0})) / 8;
    std::sort(pairs.begin(), pairs.end());
    const auto heaviest = static_cast<double>(pairs.back());
    const std::int64_t seven = std::accumulate(pairs.begin(), pairs.begin() + 7, std::int64_t{0});
    reached.push_back(static_cast<double>(*std::max_element(sums.begin(), sums.end())) / mean);
    bound.push_back(std::max(1.0, (heaviest + static_cast<double>(seven)) / mean));
    slot.push_back(heaviest * 8 / mean);
  }
};

}  // namespace

TEST_CASE("8 rows on each of 8 ranks are even to 5 percent, or as far as 8 rows each can be") {
  Table table;
  for (const std::int64_t length : {8192, 131072}) {
    LognormalRows rows(length, kSeed);
    RowBalance balance;
    for (int batch = 0; batch < 100; ++batch) balance.add(rows.pairs(64));
    std::vector<double> over_bound;
    for (int i = 0; i < 100; ++i) over_bound.push_back(balance.reached[i] / balance.bound[i]);
    if (length == 8192) CHECK(median(balance.reached) <= 1.05);
    CHECK(median(over_bound) <= 1.01);
    CHECK(worst(over_bound) <= 1.10);
    table.push_back({cat(length), cell(balance.reached), cell(balance.bound), cell(balance.slot)});
  }
  check_table(table, 2);
}

TEST_CASE("the example row of docs/context_parallel.md is cut as it is drawn there") {
  const std::string page = page_of_docs("context_parallel.md");
  std::vector<Piece> row;
  for (const std::int64_t length : {1024, 96, 32, 384, 512}) row.push_back({0, length, true});
  CHECK_THAT(page, Catch::Contains(draw_documents(row, 64)));
  for (const ContextPieces how : {ContextPieces::head_tail, ContextPieces::balanced}) {
    ContextCutter cutter(4, how, 2048);
    const std::string pieces = draw_pieces(cutter.cut(row), 64);
    const std::string drawn = cat(pieces, "  ", three_digits(cutter.unevenness()));
    std::cout << drawn << '\n';
    CHECK_THAT(page, Catch::Contains(drawn));
  }
}

}  // namespace drover
