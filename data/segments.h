// From a row's pieces to what the model is fed: tokens, targets, positions and attention segments. The rules,
// for training and evaluation alike:
//   - each piece of a document in a row is one segment, which sees itself only; positions count from 0 at its first
//     token;
//   - a token's target is the next token of its document, also when that stands in the next row;
//   - a document's last token has no target (-1). Targets never cross documents.
// docs/token_store_example.md works them on 20 tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/segment.h"
#include "data/feed.h"

namespace drover {

constexpr std::int32_t kNoTarget = -1;

// Where one row goes; T elements each.
struct RowViews {
  std::span<std::int32_t> tokens, targets, positions;

  RowViews subspan(std::int64_t begin, std::int64_t length) const;
};

// Fills the row; the pieces' lengths sum to T.
void write_row(const TokenSource& source, std::span<const Piece> pieces, const RowViews& row);
// Appends the segments of a row that starts at `row_begin` among the packed tokens.
void append_segments(std::span<const Piece> pieces, std::int64_t row_begin, std::vector<Segment>& segments);

std::int64_t total_length(std::span<const Piece> pieces);
std::int64_t attended_pairs(std::span<const Piece> pieces);
std::int64_t valid_targets(std::span<const Piece> pieces);

}  // namespace drover
