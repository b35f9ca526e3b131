// Memory in which microbatches are built row by row; the views of a Microbatch (core/tensor/microbatch.h) point into
// it until clear().
//
//   buffer.clear();
//   buffer.append_row(source, documents, T); ...      // rows of the first microbatch
//   Microbatch first = buffer.finish_microbatch();
//
// Of each row it keeps, and reads, the tokens of one context rank. Thread rules: one thread at a time.
// Allocates in the constructor only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor/memory.h"
#include "core/watch/planted_bug.h"
#include "data/batch/batch.h"
#include "data/batch/segments.h"

namespace drover {

class BatchBuffer {
 public:
  // For rows of at most max_length tokens, and at most max_tokens packed tokens of this context rank, of all
  // microbatches together; `memory` is host memory and outlives this.
  BatchBuffer(Memory& memory, std::int64_t max_length, std::int64_t max_tokens,
              const ContextShare& share = {}, PlantedBug* planted = nullptr);

  void clear();
  // A row of `length` tokens, a multiple of CP. Where the documents are shorter, token 0 without targets
  // fills it up, as a document of its own.
  void append_row(const TokenSource& source, std::span<const Piece> documents, std::int64_t length);
  // The rows appended since the last one; an empty microbatch when there are none.
  Microbatch finish_microbatch();

 private:
  RowViews views(std::int64_t begin, std::int64_t count) const;
  void start_microbatch();
  void append_span(const TokenSource& source, const TokenSpan& span, std::int64_t row_begin);
  void write_key_orders(Microbatch& microbatch);

  std::int64_t max_tokens_;
  ContextShare share_;
  PlantedBug* planted_;
  Buffer buffer_;      // [3, max_tokens] int32: tokens, targets, positions
  Buffer key_orders_;  // [2, CP x max_tokens] int32: key_order, gathered_order; empty without CP
  ContextCutter cutter_;
  std::vector<Segment> segments_;
  std::int64_t used_ = 0;
  // Of the microbatch being built.
  std::int64_t begin_ = 0, rows_ = 0, valid_targets_ = 0;
  std::size_t first_segment_ = 0;
  std::vector<ContextPiece> pieces_;  // of all its rows, in order
  // Of the row being appended.
  std::vector<Piece> documents_;
  std::vector<TokenSpan> spans_;
  std::vector<std::int64_t> next_key_;  // per context rank, while key orders are written
};

}  // namespace drover
