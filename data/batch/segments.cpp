#include "data/batch/segments.h"

#include <algorithm>
#include <numeric>

namespace drover {

RowViews RowViews::subspan(std::int64_t begin, std::int64_t length) const {
  return {tokens.subspan(begin, length), targets.subspan(begin, length), positions.subspan(begin, length)};
}

void append_spans(std::span<const Piece> documents, std::span<const ContextPiece> pieces, int rank,
                  std::vector<TokenSpan>& spans) {
  std::int64_t document_begin = 0;
  auto piece = pieces.begin();
  for (const Piece& document : documents) {
    const std::int64_t document_end = document_begin + document.length;
    while (piece != pieces.end() && piece->begin < document_end) {
      const std::int64_t begin = std::max(piece->begin, document_begin);
      const std::int64_t end = std::min(piece->end, document_end), skipped = begin - document_begin;
      const std::int64_t source_begin =
          document.source_begin == kFiller ? kFiller : document.source_begin + skipped;
      if (piece->rank == rank)
        spans.push_back({.tokens = {source_begin, end - begin, document.ends_document && end == document_end},
                         .document_begin = document_begin,
                         .begin = begin});
      if (piece->end > document_end) break;
      ++piece;
    }
    document_begin = document_end;
  }
}

void write_span(const TokenSource& source, const TokenSpan& span, const RowViews& out) {
  const Piece& tokens = span.tokens;
  std::iota(out.positions.begin(), out.positions.end(),
            static_cast<std::int32_t>(span.begin - span.document_begin));
  if (tokens.source_begin == kFiller) {
    std::fill(out.tokens.begin(), out.tokens.end(), 0);
    std::fill(out.targets.begin(), out.targets.end(), kNoTarget);
    return;
  }
  source.read(tokens.source_begin, out.tokens);
  std::copy(out.tokens.begin() + 1, out.tokens.end(), out.targets.begin());
  if (tokens.ends_document) {
    out.targets.back() = kNoTarget;
  } else {
    source.read(tokens.source_begin + tokens.length, out.targets.last(1));
  }
}

Segment segment_of(const TokenSpan& span, std::int64_t q_begin, std::int64_t row_begin) {
  return {.q_begin = static_cast<std::int32_t>(q_begin),
          .q_end = static_cast<std::int32_t>(q_begin + span.tokens.length),
          .kv_begin = static_cast<std::int32_t>(row_begin + span.document_begin),
          .kv_end = static_cast<std::int32_t>(row_begin + span.end())};
}

std::int64_t valid_targets(const TokenSpan& span) {
  if (span.tokens.source_begin == kFiller) return 0;
  return span.tokens.length - (span.tokens.ends_document ? 1 : 0);
}

std::int64_t total_length(std::span<const Piece> pieces) {
  std::int64_t length = 0;
  for (const Piece& piece : pieces) length += piece.length;
  return length;
}

std::int64_t attended_pairs(std::span<const Piece> pieces) {
  std::int64_t pairs = 0;
  for (const Piece& piece : pieces) pairs += piece.length * (piece.length + 1) / 2;
  return pairs;
}

}  // namespace drover
