// Memory in which microbatches are built row by row; the views of a Microbatch (data/batch.h) point into it
// until clear().
//
//   buffer.clear();
//   buffer.append_row(source, pieces, T); ...      // rows of the first microbatch
//   Microbatch first = buffer.finish_microbatch();
//
// Thread rules: one thread at a time. Allocates in the constructor only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/memory.h"
#include "data/batch.h"
#include "data/segments.h"

namespace drover {

class BatchBuffer {
 public:
  // For at most max_tokens packed tokens, of all microbatches together; `memory` is host memory and outlives
  // this.
  BatchBuffer(Memory& memory, std::int64_t max_tokens);

  void clear();
  // A row of `length` tokens. Where the pieces are shorter, token 0 without targets fills it up, as one
  // segment.
  void append_row(const TokenSource& source, std::span<const Piece> pieces, std::int64_t length);
  // The rows appended since the last one; an empty microbatch when there are none.
  Microbatch finish_microbatch();

 private:
  RowViews views(std::int64_t begin, std::int64_t count) const;
  void start_microbatch();
  void append_filler(std::int64_t begin, std::int64_t count);

  std::int64_t max_tokens_;
  Buffer buffer_;  // [3, max_tokens] int32: tokens, targets, positions
  std::vector<Segment> segments_;
  std::int64_t used_ = 0;
  // Of the microbatch being built.
  std::int64_t begin_ = 0, rows_ = 0, valid_targets_ = 0;
  std::size_t first_segment_ = 0;
};

}  // namespace drover
