#include "checkpoint/read/read_plan.h"

#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

namespace {

constexpr std::int64_t kRows = 7, kColumns = 9;

// Small numbers from a counter.
class Dice {
 public:
  std::int64_t below(std::int64_t n) {
    const Digest digest = digest_of(cat("dice ", ++throws_));
    return static_cast<std::int64_t>(digest.low % static_cast<std::uint64_t>(n));
  }

 private:
  int throws_ = 0;
};

// Cuts a box in two at random, again and again.
void cut(const Box& box, int depth, Dice& dice, std::vector<Box>& pieces) {
  const auto dim = static_cast<std::size_t>(dice.below(2));
  if (depth == 0 || box.extent[dim] < 2) return pieces.push_back(box);
  const std::int64_t first = 1 + dice.below(box.extent[dim] - 1);
  Box low = box, high = box;
  low.extent[dim] = first;
  high.offset[dim] += first;
  high.extent[dim] -= first;
  cut(low, depth - 1, dice, pieces);
  cut(high, depth - 1, dice, pieces);
}

StateEntry entry(const Box& box) {
  return {.name = "w", .slot = "weight", .dtype = DType::uint8, .shape = {kRows, kColumns}, .box = box};
}

const std::vector<StoredTensor> kTensors{
    {.name = "w", .slot = "weight", .dtype = DType::uint8, .shape = {kRows, kColumns}}};

StoredFile table_of(const std::vector<Box>& pieces) {
  StoredFile table;
  for (const Box& box : pieces) {
    table.pieces.push_back({.tensor = 0, .box = box, .offset = table.bytes});
    table.bytes += box.numel();
  }
  return table;
}

}  // namespace

TEST_CASE("the planned ranges bring every wanted element from its place, for random cuts of both sides") {
  Dice dice;
  const Box whole{.offset = {0, 0}, .extent = {kRows, kColumns}};
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<Box> stored, wanted;
    cut(whole, trial % 5, dice, stored);
    cut(whole, (trial / 5) % 5, dice, wanted);
    const StoredFile table = table_of(stored);
    std::vector<std::int64_t> file;  // each byte's index in the tensor
    for (const Box& box : stored) {
      for (std::int64_t i = 0; i < box.numel(); ++i)
        file.push_back((box.offset[0] + i / box.extent[1]) * kColumns + box.offset[1] + i % box.extent[1]);
    }
    std::vector<StateEntry> entries;
    for (const Box& box : wanted) entries.push_back(entry(box));

    ReadPlan plan(entries, kTensors, "test");
    REQUIRE(plan.add(0, table));
    plan.check_complete("test");
    std::vector<std::vector<std::int64_t>> got(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i)
      got[i].resize(static_cast<std::size_t>(wanted[i].numel()), -1);
    for (const PlannedRead& read : plan.reads()) {
      const auto at = static_cast<std::size_t>(read.entry);
      for_each_range(read, wanted[at], 1, [&](const ReadRange& range) {
        for (std::int64_t i = 0; i < range.bytes; ++i)
          got[at].at(static_cast<std::size_t>(range.target + i)) =
              file.at(static_cast<std::size_t>(range.offset + i));
      });
    }
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      for (std::int64_t k = 0; k < wanted[i].numel(); ++k) {
        const std::int64_t row = wanted[i].offset[0] + k / wanted[i].extent[1];
        const std::int64_t column = wanted[i].offset[1] + k % wanted[i].extent[1];
        REQUIRE(got[i][static_cast<std::size_t>(k)] == row * kColumns + column);
      }
    }
  }
}

TEST_CASE("whole rows on both sides are read in one range") {
  const PlannedRead read{.offset = 100,
                         .stored = {.offset = {2, 0}, .extent = {5, 9}},
                         .part = {.offset = {3, 0}, .extent = {4, 9}}};
  int ranges = 0;
  for_each_range(read, {.offset = {3, 0}, .extent = {4, 9}}, 4, [&](const ReadRange& range) {
    ++ranges;
    CHECK(range.offset == 100 + 9 * 4);
    CHECK(range.target == 0);
    CHECK(range.bytes == 4 * 9 * 4);
  });
  CHECK(ranges == 1);
}

TEST_CASE("a plan keeps nothing of files that it needs nothing from") {
  const std::vector<StateEntry> entries{entry({.offset = {0, 0}, .extent = {2, kColumns}})};
  ReadPlan plan(entries, kTensors, "test");
  CHECK_FALSE(plan.add(0, table_of({{.offset = {2, 0}, .extent = {5, kColumns}}})));
  CHECK(plan.add(1, table_of({{.offset = {0, 0}, .extent = {2, kColumns}}})));
  CHECK(plan.reads().size() == 1);
  CHECK(plan.reads()[0].file == 1);
}

TEST_CASE("covers of a tensor have equal sums, and any missing, doubled or moved box changes them") {
  Dice dice;
  const Box whole{.offset = {0, 0}, .extent = {kRows, kColumns}};
  Coverage expected;
  expected.add(whole, kColumns);
  CHECK(expected.elements() == kRows * kColumns);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<Box> pieces;
    cut(whole, 4, dice, pieces);
    Coverage covered, missing, doubled;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      covered.add(pieces[i], kColumns);
      if (i > 0) missing.add(pieces[i], kColumns);
      doubled.add(pieces[i], kColumns);
    }
    doubled.add(pieces[0], kColumns);
    CHECK(covered == expected);
    CHECK_FALSE(missing == expected);
    CHECK_FALSE(doubled == expected);
  }
}

TEST_CASE("a box in another's place is seen in the sums of a tensor of 2^46 elements") {
  const std::int64_t rows = std::int64_t{1} << 22, columns = std::int64_t{1} << 24;
  Coverage expected, covered, wrong;
  expected.add({.offset = {0, 0}, .extent = {rows, columns}}, columns);
  for (std::int64_t i = 0; i < 1024; ++i) {
    const Box box{.offset = {i * 4096, 0}, .extent = {4096, columns}};
    covered.add(box, columns);
    wrong.add(i == 500 ? Box{.offset = {501 * 4096, 0}, .extent = {4096, columns}} : box, columns);
  }
  CHECK(covered == expected);
  CHECK_FALSE(wrong == expected);
}

}  // namespace drover
