#include "launch/commands/dry_train.h"

#include <algorithm>

#include "tests/support/test_support.h"

namespace drover {

using Catch::Matchers::Contains;

namespace {

DryRank rank_with(int rank, std::int64_t parameters, std::int64_t weight_bytes) {
  DryRank dry{.rank = rank, .run = {.at = {.shard = rank}, .parameters = parameters}};
  dry.run.bytes[static_cast<std::size_t>(MemoryCategory::weights)] = weight_bytes;
  return dry;
}

std::int64_t lines_of(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

}  // namespace

TEST_CASE("neighbouring ranks with equal numbers share a row, other ranks have their own") {
  const std::string table =
      dry_run_table({rank_with(0, 100, 400), rank_with(1, 100, 400), rank_with(2, 100, 800)});
  CHECK(lines_of(table) == 3);
  CHECK_THAT(table, Contains("\n0-1 ") && Contains("\n2 ") && Contains("shard2"));
}

TEST_CASE("ranks between which some were left out do not share a row") {
  CHECK(lines_of(dry_run_table({rank_with(0, 100, 400), rank_with(8, 100, 400)})) == 3);
}

TEST_CASE("columns that are zero on every rank are left out") {
  const std::string table = dry_run_table({rank_with(0, 100, 400)});
  CHECK_THAT(table, Contains("weights") && Contains("memory") && !Contains("saved") && !Contains("sent:"));
}

}  // namespace drover
