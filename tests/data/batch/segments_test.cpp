#include "data/batch/segments.h"

#include "core/tensor/memory.h"
#include "data/batch/batch_buffer.h"
#include "tests/data/batch/fed_rows.h"

namespace drover {
namespace {

// Tokens 100 .. 119: documents of 5, 1, 10 and 4 tokens.
const LabelledSource& source() {
  static const LabelledSource source("four", {5, 1, 10, 4}, 100);
  return source;
}

std::vector<FedRow> rows_of(const std::vector<Piece>& pieces, std::int64_t length) {
  HostMemory memory;
  BatchBuffer buffer(memory, length, length);
  buffer.clear();
  buffer.append_row(source(), pieces, length);
  std::vector<FedRow> rows;
  append_fed_rows(buffer.finish_microbatch(), length, rows);
  return rows;
}

}  // namespace

TEST_CASE("positions start at 0 with every document and with every continuation of one") {
  const FedRow row = rows_of({{8, 3, false}, {0, 5, true}, {5, 1, true}, {16, 2, false}}, 11).front();
  CHECK(row.tokens == std::vector<std::int32_t>{108, 109, 110, 100, 101, 102, 103, 104, 105, 116, 117});
  CHECK(row.positions == std::vector<std::int32_t>{0, 1, 2, 0, 1, 2, 3, 4, 0, 0, 1});
}

TEST_CASE("a document's last token has no target") {
  const FedRow row = rows_of({{0, 5, true}, {5, 1, true}, {16, 4, true}}, 10).front();
  CHECK(row.targets == std::vector<std::int32_t>{101, 102, 103, 104, -1, -1, 117, 118, 119, -1});
}

TEST_CASE("a piece that the row cuts off has its document's next token as its last target") {
  const FedRow row = rows_of({{7, 2, false}, {6, 3, false}}, 5).front();
  CHECK(row.targets == std::vector<std::int32_t>{108, 109, 107, 108, 109});
}

TEST_CASE("every document's piece is one segment that sees itself only") {
  const std::vector<Piece> pieces{{8, 3, false}, {0, 5, true}, {5, 1, true}};
  HostMemory memory;
  BatchBuffer buffer(memory, 9, 9);
  buffer.clear();
  buffer.append_row(source(), pieces, 9);
  const Microbatch batch = buffer.finish_microbatch();
  CHECK(std::vector<Segment>(batch.segments.begin(), batch.segments.end()) ==
        std::vector<Segment>{{0, 3, 0, 3}, {3, 8, 3, 8}, {8, 9, 8, 9}});
  CHECK(attended_pairs(pieces) == 6 + 15 + 1);
  CHECK(attended_pairs(batch.segments) == attended_pairs(pieces));
  CHECK(batch.valid_targets == 3 + 4 + 0);
  CHECK(batch.key_order.empty());
  CHECK(batch.gathered_order.empty());
}

TEST_CASE("a row that its pieces don't fill ends in token 0 without targets, as a segment of its own") {
  HostMemory memory;
  BatchBuffer buffer(memory, 8, 8);
  buffer.clear();
  buffer.append_row(source(), std::vector<Piece>{{16, 4, true}}, 8);
  const Microbatch batch = buffer.finish_microbatch();
  std::vector<FedRow> rows;
  append_fed_rows(batch, 8, rows);
  CHECK(rows.front().tokens == std::vector<std::int32_t>{116, 117, 118, 119, 0, 0, 0, 0});
  CHECK(rows.front().targets == std::vector<std::int32_t>{117, 118, 119, -1, -1, -1, -1, -1});
  CHECK(batch.valid_targets == 3);
  check_segments_follow_positions(batch);
}

TEST_CASE("rows of a microbatch are packed, and their segments count from its first token") {
  HostMemory memory;
  BatchBuffer buffer(memory, 10, 30);
  buffer.clear();
  buffer.append_row(source(), std::vector<Piece>{{0, 5, true}, {6, 5, false}}, 10);
  buffer.finish_microbatch();
  buffer.append_row(source(), std::vector<Piece>{{6, 10, true}}, 10);
  buffer.append_row(source(), std::vector<Piece>{{0, 5, true}, {5, 1, true}, {16, 4, true}}, 10);
  const Microbatch second = buffer.finish_microbatch();
  CHECK(second.rows == 2);
  CHECK(second.size() == 20);
  CHECK(std::vector<Segment>(second.segments.begin(), second.segments.end()) ==
        std::vector<Segment>{{0, 10, 0, 10}, {10, 15, 10, 15}, {15, 16, 15, 16}, {16, 20, 16, 20}});
  CHECK(second.valid_targets == 9 + 4 + 0 + 3);
}

TEST_CASE("a microbatch without rows is empty, and legal") {
  HostMemory memory;
  BatchBuffer buffer(memory, 10, 10);
  buffer.clear();
  const Microbatch empty = buffer.finish_microbatch();
  CHECK(empty.rows == 0);
  CHECK(empty.size() == 0);
  CHECK(empty.segments.empty());
  CHECK(empty.valid_targets == 0);
}

}  // namespace drover
