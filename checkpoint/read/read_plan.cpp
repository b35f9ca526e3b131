#include "checkpoint/read/read_plan.h"

#include <algorithm>
#include <tuple>

namespace drover {
namespace {

// Elements from the start of a row-major box to one of its elements.
std::int64_t index_in(const Box& box, std::int64_t row, std::int64_t column) {
  return (row - box.offset[0]) * box.extent[1] + column - box.offset[1];
}

StoredTensor tensor_of(const StateEntry& entry) {
  return {
      .name = entry.name, .slot = entry.slot, .dtype = entry.dtype, .shape = entry.shape, .dims = entry.dims};
}

}  // namespace

void for_each_range(const PlannedRead& read, const Box& wanted, std::int64_t element_bytes,
                    FunctionRef<void(const ReadRange&)> use) {
  const Box& part = read.part;
  // Full rows on both sides are one range.
  const bool whole_rows = part.extent[1] == read.stored.extent[1] && part.extent[1] == wanted.extent[1];
  const std::int64_t ranges = whole_rows ? 1 : part.extent[0];
  for (std::int64_t i = 0; i < ranges; ++i) {
    const std::int64_t row = part.offset[0] + i, column = part.offset[1];
    use({.offset = read.offset + index_in(read.stored, row, column) * element_bytes,
         .target = index_in(wanted, row, column) * element_bytes,
         .bytes = (whole_rows ? part.numel() : part.extent[1]) * element_bytes});
  }
}

ReadPlan::ReadPlan(std::span<const StateEntry> wanted, std::span<const StoredTensor> stored,
                   const std::string& path)
    : wanted_(wanted), stored_(stored), entries_(stored.size()), covered_(wanted.size()) {
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const StoredTensor tensor = tensor_of(wanted[i]);
    const auto found = std::lower_bound(stored.begin(), stored.end(), tensor, before);
    if (found == stored.end() || before(tensor, *found)) continue;  // missing: check_complete tells
    if (*found != tensor)
      throw input_error(path, " holds ", describe(*found), ", wanted is ", describe(tensor),
                        "; use the model and train.dtype that the checkpoint was written with");
    entries_[static_cast<std::size_t>(found - stored.begin())].push_back(static_cast<int>(i));
  }
}

bool ReadPlan::add(int number, const StoredFile& file) {
  bool needed = false;
  for (const StoredPiece& piece : file.pieces)
    if (add_piece(number, piece)) needed = true;
  return needed;
}

bool ReadPlan::add_piece(int number, const StoredPiece& piece) {
  const auto tensor = static_cast<std::size_t>(piece.tensor);
  bool needed = false;
  for (const int entry : entries_[tensor]) {
    const auto index = static_cast<std::size_t>(entry);
    const Box part = intersect(piece.box, wanted_[index].box);
    if (part.empty()) continue;
    needed = true;
    covered_[index].add(part, stored_[tensor].shape[1]);
    reads_.push_back(
        {.file = number, .offset = piece.offset, .stored = piece.box, .part = part, .entry = entry});
  }
  return needed;
}

void ReadPlan::check_complete(const std::string& path) const {
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    const StateEntry& entry = wanted_[i];
    Coverage wanted;
    wanted.add(entry.box, entry.shape[1]);
    if (covered_[i] == wanted) continue;
    throw input_error(path, ": ", describe(tensor_of(entry)), " ",
                      covered_[i].elements() == 0 ? "is missing" : "is not whole", ": of ",
                      describe(entry.box), " there are ", covered_[i].elements(), " of ", wanted.elements(),
                      " elements; resume from a checkpoint of the same model and optimizer");
  }
}

std::vector<PlannedRead> ReadPlan::reads() const {
  std::vector<PlannedRead> sorted = reads_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const PlannedRead& a, const PlannedRead& b) {
    return std::tie(a.file, a.offset) < std::tie(b.file, b.offset);
  });
  return sorted;
}

}  // namespace drover
