// What the model is fed: rows packed one after another into N tokens, with targets, positions and segments.
// Made by data/batch/loader.h, which knows the rules of documents (data/batch/batch.h); computed by model/stage.h.
//
// Context ranks share the rows: each holds T / CP tokens of every row (data/batch/context_pieces.h), so
// N = rows x T / CP, packed row after row and within a row as they stand in it. Keys are those of all context
// ranks in document order, that is as the whole rows are packed: N_all = rows x T = N x CP of them. Attention
// gathers them rank after rank; key_order brings them into document order.
#pragma once

#include <span>

#include "core/tensor/segment.h"
#include "core/tensor/tensor.h"

namespace drover {

// Views into memory of whoever made it (the loader: valid until its next step is taken).
struct Microbatch {
  std::int64_t rows = 0;              // 0: an empty microbatch: N = 0, computes and sends nothing
  Tensor tokens, targets, positions;  // [N] int32 (N may be 0); targets -1: none; positions are those in the
                                      // document's piece of the row, whichever ranks hold it
  // q ranges over the N tokens here, kv ranges over the N_all keys in document order. One segment per maximal
  // span of tokens that are consecutive in their row and of one document; it sees the document from its first
  // token in the row to the span's last. Without CP q and kv ranges are equal.
  std::span<const Segment> segments;
  std::int64_t valid_targets = 0;  // of the N tokens here
  // [N_all] int32, each the inverse of the other: the i-th key in document order is row key_order[i] of the
  // gathered keys (context ranks one after another, N each). Empty tensors without CP.
  Tensor key_order, gathered_order;

  std::int64_t size() const { return tokens.dims[0]; }  // N
};

}  // namespace drover
