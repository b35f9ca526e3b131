// Whole tensors of a checkpoint, one piece after the other, whatever layout wrote them.
#pragma once

#include <span>
#include <vector>

#include "checkpoint/format/byte_sink.h"
#include "checkpoint/format/contents.h"
#include "checkpoint/read/extent_reader.h"
#include "checkpoint/read/read_plan.h"

namespace drover {

// One thread at a time. Memory: the pieces of these tensors and some 70 MiB.
class TensorReader {
 public:
  // Plans the reads of `tensors`, each rank's own. Error{input} on all ranks where one is missing, not covered exactly
  // once, or of another shape or dtype. Collective; `together.files` outlives this.
  TensorReader(const ReadTogether& together, const Contents& contents, std::span<const StoredTensor> tensors);

  // All bytes of tensors[index], row-major; pieces are whole elements, at most 4 MiB, and checked against the digests
  // (Error{input} naming file and bytes).
  void read(std::size_t index, ByteSink use);

 private:
  void read_band(std::size_t index, const Box& band, std::span<std::byte> out);

  std::vector<StateEntry> wanted_;
  ExtentReader extents_;
  std::vector<std::vector<PlannedRead>> reads_;  // by tensor
};

}  // namespace drover
