#include "checkpoint/read/tensor_reader.h"

#include <algorithm>

#include "checkpoint/read/planned_read.h"
#include "parallel/comm/agreement.h"

namespace drover {
namespace {

constexpr std::int64_t kBandBytes = std::int64_t{4} << 20;
// A band of a tensor that is cut by columns touches an extent of every part's file.
constexpr std::size_t kKeptExtents = 16;

// Calls `use` with boxes of at most `elements` elements that follow each other in row-major order.
void for_each_band(const StateEntry& tensor, std::int64_t elements, FunctionRef<void(const Box&)> use) {
  const auto [rows, columns] = tensor.shape;
  const std::int64_t width = std::min(columns, elements);
  if (width == 0) return;
  const std::int64_t height = width < columns ? 1 : elements / width;
  for (std::int64_t row = 0; row < rows; row += height) {
    for (std::int64_t column = 0; column < columns; column += width) {
      use({.offset = {row, column},
           .extent = {std::min(height, rows - row), std::min(width, columns - column)}});
    }
  }
}

// Wanted without memory to put it: it is read band by band.
std::vector<StateEntry> whole_entries(std::span<const StoredTensor> tensors) {
  std::vector<StateEntry> entries;
  for (const StoredTensor& tensor : tensors)
    entries.push_back({.name = tensor.name,
                       .slot = tensor.slot,
                       .dtype = tensor.dtype,
                       .shape = tensor.shape,
                       .dims = tensor.dims,
                       .box = tensor.whole()});
  return entries;
}

}  // namespace

TensorReader::TensorReader(const ReadTogether& together, const Contents& contents,
                           std::span<const StoredTensor> tensors)
    : wanted_(whole_entries(tensors)),
      extents_(together.files, together.directory, kKeptExtents),
      reads_(wanted_.size()) {
  agree(together.exec, together.world, [&] {
    for (const PlannedRead& read : plan_reads(contents, wanted_, extents_).reads())
      reads_[static_cast<std::size_t>(read.entry)].push_back(read);
  });
}

void TensorReader::read(std::size_t index, ByteSink use) {
  const StateEntry& tensor = wanted_.at(index);
  const std::int64_t element = size_of(tensor.dtype);
  std::vector<std::byte> bytes;
  for_each_band(tensor, kBandBytes / element, [&](const Box& band) {
    bytes.resize(static_cast<std::size_t>(band.numel() * element));
    read_band(index, band, bytes);
    use(bytes);
  });
}

void TensorReader::read_band(std::size_t index, const Box& band, std::span<std::byte> out) {
  for (PlannedRead read : reads_[index]) {
    read.part = intersect(read.part, band);
    if (read.part.empty()) continue;
    for_each_range(read, band, size_of(wanted_[index].dtype), [&](const ReadRange& range) {
      extents_.read(
          read.file, range.offset,
          out.subspan(static_cast<std::size_t>(range.target), static_cast<std::size_t>(range.bytes)));
    });
  }
}

}  // namespace drover
