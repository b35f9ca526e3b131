// What the model is fed: packed rows with their targets, positions and segments.
//
// A row is T consecutive tokens of one source's feed. Rows of a microbatch are packed one after another
// (core/tensor/microbatch.h says how context ranks share them). Targets never cross documents: a document's last
// token has none (-1); the row's last token has as target the token after it in the feed, if that is of the
// same document. A document's continuation in the next row is a new segment whose positions start at 0.
#pragma once

#include <span>
#include <vector>

#include "core/tensor/microbatch.h"

namespace drover {

// One rank's share of a step, in the order it is computed.
struct StepBatch {
  std::int64_t step = 0;             // 0-based number of the update this batch makes
  std::int64_t sequence_length = 0;  // T
  std::int64_t batch_tokens = 0;     // input positions of the whole step, all ranks
  std::span<const Microbatch> microbatches;
  std::int64_t valid_targets = 0;        // of this rank
  std::int64_t attended_pairs = 0;       // of this rank
  std::int64_t step_attended_pairs = 0;  // of the whole step, all ranks: the attention work that MFU counts
};

}  // namespace drover
