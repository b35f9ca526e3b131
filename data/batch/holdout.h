// A hold-out source read for evaluation: all its documents in order, cut into rows of T consecutive tokens,
// documents masked. Every target is counted exactly once, whatever T and the number of ranks; a document's
// continuation in the next row has lost its context, as in training. The last row is filled up to T with
// tokens without target. Of its rows a rank holds what its context rank does (data/batch/context_pieces.h).
//
// Thread rules: one thread at a time. Memory: one microbatch, category data.
#pragma once

#include <cstdint>
#include <vector>

#include "data/batch/batch_buffer.h"
#include "data/order/feed.h"

namespace drover {

struct HoldoutOptions {
  std::int64_t sequence_length = 0;  // T
  std::int64_t max_rows =
      0;  // 0: the whole hold-out; otherwise at most this many rows, evenly spaced over it
  int data_rank = 0;
  int data_ranks = 1;
  int microbatch_sequences = 1;
  ContextShare context;  // every row of this data rank is shared by context.ranks ranks
};

class Holdout {
 public:
  // The source outlives this; Error{input} when it has no tokens.
  Holdout(Memory& memory, const TokenSource& source, const HoldoutOptions& options);

  std::int64_t rows() const { return rows_; }  // of all ranks
  std::int64_t max_microbatch_tokens() const { return microbatch_rows_ * row_tokens(); }
  std::int64_t microbatches() const { return microbatches_; }  // the same on every rank; some may be empty
  std::int64_t microbatch_tokens(std::int64_t i) const { return rows_of(i) * row_tokens(); }
  // The i-th of this rank. Valid until the next call.
  const Microbatch& microbatch(std::int64_t i);

  // Targets in the whole source: tokens less documents that have any. With the mean loss in nats per target,
  // bits per byte of text is loss / ln 2 x total_targets / text_bytes (exact for the whole hold-out, an
  // estimate for a sample of rows).
  std::int64_t total_targets() const { return total_targets_; }
  double bits_per_byte(double loss) const;

 private:
  std::int64_t row_tokens() const { return options_.sequence_length / options_.context.ranks; }
  std::int64_t first_row(std::int64_t i) const;
  std::int64_t rows_of(std::int64_t i) const;
  void append_row(std::int64_t source_row);
  void append_pieces(std::int64_t begin, std::int64_t end);

  const TokenSource& source_;
  HoldoutOptions options_;
  std::int64_t source_rows_, rows_, microbatch_rows_, microbatches_, total_targets_;
  BatchBuffer buffer_;
  std::vector<Piece> pieces_;
  Microbatch batch_;
};

}  // namespace drover
