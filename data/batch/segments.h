// From a row's documents to what the model is fed: tokens, targets, positions and attention segments. The
// rules, for training and evaluation alike:
//   - a document's piece in a row sees itself only; positions count from 0 at its first token, also where
//     another context rank holds that;
//   - a token's target is the next token of its document, also when that stands in the next row;
//   - a document's last token has no target (-1). Targets never cross documents.
// docs/token_store_example.md works them on 20 tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor/segment.h"
#include "data/batch/context_pieces.h"
#include "data/order/feed.h"

namespace drover {

constexpr std::int32_t kNoTarget = -1;
// source_begin of a piece of token 0 without targets, as which a row ends that its documents don't fill.
constexpr std::int64_t kFiller = -1;

// Where tokens go; as many elements each.
struct RowViews {
  std::span<std::int32_t> tokens, targets, positions;

  RowViews subspan(std::int64_t begin, std::int64_t length) const;
};

// A maximal span of a row's tokens that one rank holds and that are of one document.
struct TokenSpan {
  Piece tokens;                     // where they are read
  std::int64_t document_begin = 0;  // place in the row of the document's first token there
  std::int64_t begin = 0;           // place in the row of the span's first token

  std::int64_t end() const { return begin + tokens.length; }
};

// Appends the spans of the pieces that `rank` holds. `documents` are those of the row, `pieces` cut it.
void append_spans(std::span<const Piece> documents, std::span<const ContextPiece> pieces, int rank,
                  std::vector<TokenSpan>& spans);
// Fills `out`, of the span's length.
void write_span(const TokenSource& source, const TokenSpan& span, const RowViews& out);
// Its queries start at `q_begin` of the packed tokens, its row's keys at `row_begin` of the packed keys.
Segment segment_of(const TokenSpan& span, std::int64_t q_begin, std::int64_t row_begin);
std::int64_t valid_targets(const TokenSpan& span);

std::int64_t total_length(std::span<const Piece> pieces);
std::int64_t attended_pairs(std::span<const Piece> pieces);

}  // namespace drover
