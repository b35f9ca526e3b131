// What the model is fed: rows packed one after another into N = rows x T tokens, with targets, positions and
// segments. Made by data/loader.h, which knows the rules of documents (data/batch.h); computed by
// model/stage.h.
#pragma once

#include <span>

#include "core/segment.h"
#include "core/tensor.h"

namespace drover {

// Views into memory of whoever made it (the loader: valid until its next step is taken).
struct Microbatch {
  std::int64_t rows = 0;              // 0: an empty microbatch: N = 0, computes and sends nothing
  Tensor tokens, targets, positions;  // [N] int32 (N may be 0); targets -1: none
  std::span<const Segment> segments;  // over the N packed tokens; q and kv ranges are equal
  std::int64_t valid_targets = 0;

  std::int64_t size() const { return tokens.dims[0]; }  // N
};

}  // namespace drover
