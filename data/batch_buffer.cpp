#include "data/batch_buffer.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace drover {

BatchBuffer::BatchBuffer(Memory& memory, std::int64_t max_tokens)
    : max_tokens_(max_tokens), buffer_(memory, 3 * max_tokens * size_of(DType::int32), MemoryCategory::data) {
  segments_.reserve(
      max_tokens);  // every document may have one token; pages that are never written cost nothing
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
}

RowViews BatchBuffer::views(std::int64_t begin, std::int64_t count) const {
  std::int32_t* const base = static_cast<std::int32_t*>(buffer_.data()) + begin;
  const auto size = static_cast<std::size_t>(count);
  return {{base, size}, {base + max_tokens_, size}, {base + 2 * max_tokens_, size}};
}

void BatchBuffer::append_row(const TokenSource& source, std::span<const Piece> pieces, std::int64_t length) {
  const std::int64_t given = total_length(pieces);
  DROVER_CHECK(given <= length && used_ + length <= max_tokens_, "row of ", given, " of ", length,
               " tokens at ", used_, " of ", max_tokens_);
  write_row(source, pieces, views(used_, given));
  append_segments(pieces, used_ - begin_, segments_);
  if (given < length) append_filler(used_ + given, length - given);
  used_ += length;
  ++rows_;
  valid_targets_ += valid_targets(pieces);
}

void BatchBuffer::append_filler(std::int64_t begin, std::int64_t count) {
  const RowViews filler = views(begin, count);
  std::fill(filler.tokens.begin(), filler.tokens.end(), 0);
  std::fill(filler.targets.begin(), filler.targets.end(), kNoTarget);
  std::iota(filler.positions.begin(), filler.positions.end(), 0);
  const Piece piece{.source_begin = 0, .length = count, .ends_document = true};
  append_segments({&piece, 1}, begin - begin_, segments_);
}

Microbatch BatchBuffer::finish_microbatch() {
  const std::int64_t count = used_ - begin_;
  const RowViews all = views(begin_, count);
  const Microbatch microbatch{.rows = rows_,
                              .tokens = Tensor::of(all.tokens.data(), {count}),
                              .targets = Tensor::of(all.targets.data(), {count}),
                              .positions = Tensor::of(all.positions.data(), {count}),
                              .segments = std::span(segments_).subspan(first_segment_),
                              .valid_targets = valid_targets_};
  start_microbatch();
  return microbatch;
}

}  // namespace drover
