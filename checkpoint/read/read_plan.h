// Which bytes of a checkpoint's files go where: wanted boxes against stored boxes, for any layout on either
// side. Pure: nothing here reads.
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/format/coverage.h"
#include "checkpoint/format/manifest.h"
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

// Plans the reads of one rank, table by table. Memory grows with the pieces that this rank needs.
class ReadPlan {
 public:
  // `wanted` outlives this.
  explicit ReadPlan(std::span<const StateEntry> wanted);

  // Adds what is needed from one file; whether there is anything. Error{input} naming the tensor where the
  // stored one has another dtype or shape; `path` is for that message.
  bool add(int file, const RankTable& table, const std::string& path);
  // Error{input} naming a tensor that is not there, or not covered exactly once.
  void check_complete(const std::string& path) const;

  // By file, then by place in the file.
  std::vector<PlannedRead> reads() const;

 private:
  bool add_piece(int file, const StoredTensor& tensor, const StoredPiece& piece,
                 const std::vector<int>& entries);

  std::span<const StateEntry> wanted_;
  std::map<std::pair<std::string, std::string>, std::vector<int>> by_name_;
  std::vector<Coverage> covered_;  // by entry
  std::vector<PlannedRead> reads_;
};

}  // namespace drover
