#include "data/batch/batch_buffer.h"

#include "core/base/error.h"

namespace drover {
namespace {

Buffer key_orders(Memory& memory, std::int64_t max_tokens, int context_ranks) {
  if (context_ranks == 1) return {};
  return {memory, 2 * context_ranks * max_tokens * size_of(DType::int32), MemoryCategory::data};
}

}  // namespace

BatchBuffer::BatchBuffer(Memory& memory, std::int64_t max_length, std::int64_t max_tokens,
                         const ContextShare& share, PlantedBug* planted)
    : max_tokens_(max_tokens),
      share_(share),
      planted_(planted),
      buffer_(memory, 3 * max_tokens * size_of(DType::int32), MemoryCategory::data),
      key_orders_(key_orders(memory, max_tokens, share.ranks)),
      cutter_(share.ranks, share.pieces, max_length) {
  DROVER_CHECK(share.rank >= 0 && share.rank < share.ranks, "context rank ", share.rank, " of ", share.ranks);
  // Every document, and every piece, may have one token; pages that are never written cost nothing.
  segments_.reserve(max_tokens);
  pieces_.reserve(share.ranks * max_tokens);
  documents_.reserve(max_length);
  spans_.reserve(max_length);
  next_key_.reserve(share.ranks);
}

void BatchBuffer::clear() {
  segments_.clear();
  used_ = 0;
  start_microbatch();
}

void BatchBuffer::start_microbatch() {
  begin_ = used_;
  first_segment_ = segments_.size();
  rows_ = valid_targets_ = 0;
  pieces_.clear();
}

RowViews BatchBuffer::views(std::int64_t begin, std::int64_t count) const {
  std::int32_t* const base = static_cast<std::int32_t*>(buffer_.data()) + begin;
  const auto size = static_cast<std::size_t>(count);
  return {{base, size}, {base + max_tokens_, size}, {base + 2 * max_tokens_, size}};
}

void BatchBuffer::append_row(const TokenSource& source, std::span<const Piece> documents,
                             std::int64_t length) {
  const std::int64_t given = total_length(documents);
  DROVER_CHECK(given <= length && used_ + length / share_.ranks <= max_tokens_, "row of ", given, " of ",
               length, " tokens at ", used_, " of ", max_tokens_);
  documents_.assign(documents.begin(), documents.end());
  if (given < length) documents_.push_back({kFiller, length - given, true});
  const std::span<const ContextPiece> pieces = cutter_.cut(documents_);
  pieces_.insert(pieces_.end(), pieces.begin(), pieces.end());
  spans_.clear();
  append_spans(documents_, pieces, share_.rank, spans_);
  for (const TokenSpan& span : spans_) append_span(source, span, rows_ * length);
  ++rows_;
}

void BatchBuffer::append_span(const TokenSource& source, const TokenSpan& span, std::int64_t row_begin) {
  TokenSpan counted = span;
  if (span.begin > span.document_begin && injects(planted_, Bug::positions_from_piece))
    counted.document_begin = span.begin;
  write_span(source, counted, views(used_, span.tokens.length));
  segments_.push_back(segment_of(span, used_ - begin_, row_begin));
  Segment& segment = segments_.back();
  if (segment.kv_begin > 0 && injects(planted_, Bug::segment_edge_off_by_one)) --segment.kv_begin;
  valid_targets_ += valid_targets(span);
  used_ += span.tokens.length;
}

Microbatch BatchBuffer::finish_microbatch() {
  const std::int64_t count = used_ - begin_;
  const RowViews all = views(begin_, count);
  Microbatch microbatch{.rows = rows_,
                        .tokens = Tensor::of(all.tokens.data(), {count}),
                        .targets = Tensor::of(all.targets.data(), {count}),
                        .positions = Tensor::of(all.positions.data(), {count}),
                        .segments = std::span(segments_).subspan(first_segment_),
                        .valid_targets = valid_targets_};
  if (share_.ranks > 1) write_key_orders(microbatch);
  start_microbatch();
  return microbatch;
}

// Every rank packs its tokens in the order in which they stand in the rows, so one count per rank tells where
// the next key is.
void BatchBuffer::write_key_orders(Microbatch& microbatch) {
  const std::int64_t count = share_.ranks * microbatch.size(), all = share_.ranks * max_tokens_;
  std::int32_t* const key_order = static_cast<std::int32_t*>(key_orders_.data()) + share_.ranks * begin_;
  std::int32_t* const gathered_order = key_order + all;
  next_key_.resize(share_.ranks);
  for (int rank = 0; rank < share_.ranks; ++rank) next_key_[rank] = rank * microbatch.size();
  std::int32_t key = 0;
  for (const ContextPiece& piece : pieces_) {
    for (std::int64_t i = 0; i < piece.length(); ++i, ++key) {
      key_order[key] = static_cast<std::int32_t>(next_key_[piece.rank]++);
      gathered_order[key_order[key]] = key;
    }
  }
  microbatch.key_order = Tensor::of(key_order, {count});
  microbatch.gathered_order = Tensor::of(gathered_order, {count});
}

}  // namespace drover
