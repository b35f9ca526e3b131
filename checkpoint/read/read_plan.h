// Which bytes of a checkpoint's files go where: wanted boxes against stored boxes, for any layout on either
// side. Pure: nothing here reads.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "checkpoint/format/coverage.h"
#include "checkpoint/format/table.h"
#include "core/base/function_ref.h"

namespace drover {

// `part` of a stored box, to be copied into a wanted box. Boxes are in coordinates of the logical tensor.
struct PlannedRead {
  int file = 0;
  std::int64_t offset = 0;  // of the stored box in the file, bytes
  Box stored, part;
  int entry = 0;  // index into what is wanted
};

// The contiguous ranges of a read, ascending in the file: bytes [offset, offset + bytes) of the file go to
// `target` bytes into the wanted box.
struct ReadRange {
  std::int64_t offset = 0, target = 0, bytes = 0;
};
void for_each_range(const PlannedRead& read, const Box& wanted, std::int64_t element_bytes,
                    FunctionRef<void(const ReadRange&)> use);

// Plans the reads of one rank, file by file. Memory grows with the pieces that this rank needs.
class ReadPlan {
 public:
  // Of tensors that a checkpoint has `stored`; both outlive this. Error{input} naming the tensor where the stored one has
  // another dtype or shape than the wanted; `path` is for that message.
  ReadPlan(std::span<const StateEntry> wanted, std::span<const StoredTensor> stored, const std::string& path);

  // Adds what is needed from one file; whether there is anything.
  bool add(int number, const StoredFile& file);
  // Error{input} naming a tensor that is not there, or not covered exactly once.
  void check_complete(const std::string& path) const;

  // By file, then by place in the file.
  std::vector<PlannedRead> reads() const;

 private:
  bool add_piece(int number, const StoredPiece& piece);

  std::span<const StateEntry> wanted_;
  std::span<const StoredTensor> stored_;
  std::vector<std::vector<int>> entries_;  // that want some of it, by stored tensor
  std::vector<Coverage> covered_;          // by entry
  std::vector<PlannedRead> reads_;
};

}  // namespace drover
