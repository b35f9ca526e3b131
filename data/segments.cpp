#include "data/segments.h"

#include <algorithm>
#include <numeric>

namespace drover {
namespace {

void write_piece(const TokenSource& source, const Piece& piece, const RowViews& out) {
  source.read(piece.source_begin, out.tokens);
  std::copy(out.tokens.begin() + 1, out.tokens.end(), out.targets.begin());
  std::iota(out.positions.begin(), out.positions.end(), 0);
  if (piece.ends_document) {
    out.targets.back() = kNoTarget;
  } else {
    source.read(piece.source_begin + piece.length, out.targets.last(1));
  }
}

}  // namespace

RowViews RowViews::subspan(std::int64_t begin, std::int64_t length) const {
  return {tokens.subspan(begin, length), targets.subspan(begin, length), positions.subspan(begin, length)};
}

void write_row(const TokenSource& source, std::span<const Piece> pieces, const RowViews& row) {
  std::int64_t begin = 0;
  for (const Piece& piece : pieces) {
    write_piece(source, piece, row.subspan(begin, piece.length));
    begin += piece.length;
  }
}

void append_segments(std::span<const Piece> pieces, std::int64_t row_begin, std::vector<Segment>& segments) {
  std::int32_t begin = static_cast<std::int32_t>(row_begin);
  for (const Piece& piece : pieces) {
    const std::int32_t end = begin + static_cast<std::int32_t>(piece.length);
    segments.push_back({.q_begin = begin, .q_end = end, .kv_begin = begin, .kv_end = end});
    begin = end;
  }
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

std::int64_t valid_targets(std::span<const Piece> pieces) {
  std::int64_t targets = 0;
  for (const Piece& piece : pieces) targets += piece.length - (piece.ends_document ? 1 : 0);
  return targets;
}

}  // namespace drover
