#include "checkpoint/format/table.h"

#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

namespace {

const std::vector<StoredTensor> kTensors{{.name = "a", .slot = "moment1", .shape = {1000, 4096}},
                                         {.name = "a", .slot = "moment2", .shape = {1000, 4096}},
                                         {.name = "a", .slot = "weight", .shape = {1000, 4096}},
                                         {.name = "b", .slot = "weight", .shape = {1, 300}, .dims = 1}};

std::vector<StoredFile> read_table(std::string_view text) {
  std::vector<StoredFile> files;
  for_each_file(text, kTensors, "test", [&](const StoredFile& file) { files.push_back(file); });
  return files;
}

// Pieces of all tensors in the order of their bytes, with gaps.
StoredFile some_file(std::int64_t rank) {
  StoredFile file{.rank = rank};
  const Box rows{.offset = {rank * 10, 0}, .extent = {10, 4096}};
  for (const int tensor : {2, 0, 1, 3}) {
    const Box box = tensor == 3 ? Box{.offset = {0, rank}, .extent = {1, 1}} : rows;
    file.pieces.push_back({.tensor = tensor, .box = box, .offset = file.bytes + 100});
    file.bytes += 100 + box.numel() * 4;
  }
  file.bytes += 7;
  for (std::int64_t i = 0; i < extents_of(file.bytes); ++i)
    file.extents.push_back(digest_of(cat(rank, " ", i)));
  return file;
}

bool same(const StoredFile& a, const StoredFile& b) {
  const auto equal = [](const StoredPiece& x, const StoredPiece& y) {
    return x.tensor == y.tensor && x.box == y.box && x.offset == y.offset;
  };
  return a.rank == b.rank && a.bytes == b.bytes && a.extents == b.extents &&
         std::equal(a.pieces.begin(), a.pieces.end(), b.pieces.begin(), b.pieces.end(), equal);
}

}  // namespace

TEST_CASE("a table is read as it was written, file by file in the order of ranks") {
  std::string text;
  for (const std::int64_t rank : {0, 3, 90}) text += file_text(some_file(rank), kTensors);
  const std::vector<StoredFile> read = read_table(text);
  REQUIRE(read.size() == 3);
  CHECK((same(read[0], some_file(0)) && same(read[1], some_file(3)) && same(read[2], some_file(90))));
  CHECK(read_table("").empty());
}

TEST_CASE("pieces are written in the order of their places, whatever order they come in") {
  StoredFile shuffled = some_file(5);
  std::reverse(shuffled.pieces.begin(), shuffled.pieces.end());
  CHECK(file_text(shuffled, kTensors) == file_text(some_file(5), kTensors));
}

TEST_CASE("the bytes of a table are those of the format's description") {
  StoredFile file{.rank = 300, .bytes = 24};
  file.pieces = {{.tensor = 2, .box = {.offset = {7, 0}, .extent = {1, 2}}, .offset = 0},
                 {.tensor = 0, .box = {.offset = {7, 0}, .extent = {1, 2}}, .offset = 10}};
  file.extents = {{.high = 0x0102030405060708, .low = 0x090a0b0c0d0e0f10}};
  const std::string text = file_text(file, kTensors);
  CHECK(text == std::string("\xac\x02\x18\x02"          // rank 300, 24 bytes, 2 pieces
                            "\x08\x07\x00\x01\x02\x00"  // tensor 0 + 2 with a box, which it has; no gap
                            "\x07\x02"                  // tensor 2 - 2 with the same box, after a gap of 2
                            "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10",
                            28));
}

TEST_CASE("a piece takes a few bytes of a table, one more slot of its box three at most") {
  const StoredFile file = some_file(90);
  StoredFile alone = file;
  alone.pieces.resize(1);
  StoredFile slots = file;
  slots.pieces.resize(3);
  CHECK(file_text(slots, kTensors).size() <= file_text(alone, kTensors).size() + 2 * 3);
  CHECK(file_text(alone, kTensors).size() <= 16 * file.extents.size() + 3 + 2 + 3 + 10);
}

}  // namespace drover
