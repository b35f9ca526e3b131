// What a model was fed, row by row, and whether each row obeys the rules of data/batch/segments.h. Judged by the
// labels of LabelledSource alone: nobody's account of pieces or positions is believed.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor/microbatch.h"
#include "data/batch/segments.h"
#include "tests/data/order/labelled_source.h"
#include "tests/support/test_support.h"

namespace drover {

struct FedRow {
  std::vector<std::int32_t> tokens, targets, positions;

  auto operator<=>(const FedRow&) const = default;
};

inline std::vector<std::int32_t> values_of(const Tensor& tensor, std::int64_t begin, std::int64_t count) {
  const std::int32_t* first = tensor.as<std::int32_t>() + begin;
  return {first, first + count};
}

inline void append_fed_rows(const Microbatch& microbatch, std::int64_t row_length,
                            std::vector<FedRow>& rows) {
  REQUIRE(microbatch.size() == microbatch.rows * row_length);
  for (std::int64_t begin = 0; begin < microbatch.size(); begin += row_length) {
    rows.push_back({values_of(microbatch.tokens, begin, row_length),
                    values_of(microbatch.targets, begin, row_length),
                    values_of(microbatch.positions, begin, row_length)});
  }
}

// Of a row of one source: where segments must start. A segment starts with the row, after a document's last
// token, and nowhere else.
inline bool starts_segment(const LabelledSource& source, const FedRow& row, std::size_t i) {
  return i == 0 || source.ends_document(row.tokens[i - 1] - source.base());
}

inline void check_row(const LabelledSource& source, const FedRow& row) {
  std::int32_t position = 0;
  for (std::size_t i = 0; i < row.tokens.size(); ++i) {
    const std::int32_t token = row.tokens[i];
    position = starts_segment(source, row, i) ? 0 : position + 1;
    const bool last = source.ends_document(token - source.base());
    INFO("token " << token << " at " << i << " of " << source.name());
    REQUIRE(row.positions[i] == position);
    REQUIRE(row.targets[i] == (last ? kNoTarget : token + 1));
    if (i > 0 && position > 0) REQUIRE(token == row.tokens[i - 1] + 1);
  }
}

// Segments cover the packed tokens in order, and each begins exactly where positions begin again.
inline void check_segments_follow_positions(const Microbatch& microbatch) {
  check_segments(microbatch.segments, microbatch.size(), microbatch.size());
  const std::int32_t* positions = microbatch.positions.as<std::int32_t>();
  std::int32_t expected = 0;
  for (const Segment& segment : microbatch.segments) {
    REQUIRE(segment.q_begin == expected);
    REQUIRE(segment.kv_begin == segment.q_begin);
    REQUIRE(segment.kv_end == segment.q_end);
    for (std::int32_t i = segment.q_begin; i < segment.q_end; ++i)
      REQUIRE(positions[i] == i - segment.q_begin);
    expected = segment.q_end;
  }
  REQUIRE(expected == microbatch.size());
}

inline std::int64_t count_targets(const std::vector<FedRow>& rows) {
  std::int64_t count = 0;
  for (const FedRow& row : rows) {
    for (const std::int32_t target : row.targets) count += target != kNoTarget;
  }
  return count;
}

}  // namespace drover
