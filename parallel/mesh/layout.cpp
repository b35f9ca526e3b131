#include "parallel/mesh/layout.h"

#include <algorithm>

namespace drover {

namespace {

std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

Box intersect(const Box& a, const Box& b) {
  Box common;
  for (std::size_t dim = 0; dim < 2; ++dim) {
    common.offset[dim] = std::max(a.offset[dim], b.offset[dim]);
    const std::int64_t end = std::min(a.offset[dim] + a.extent[dim], b.offset[dim] + b.extent[dim]);
    common.extent[dim] = end - common.offset[dim];
    if (common.extent[dim] <= 0) return {};
  }
  return common;
}

std::string describe(const Box& box) {
  return cat("[", box.offset[0], ":", box.offset[0] + box.extent[0], ", ", box.offset[1], ":",
             box.offset[1] + box.extent[1], "]");
}

Box local_box(const ParameterLayout& parameter, int tensor_rank, int tensor_ranks) {
  Box box{.offset = {0, 0}, .extent = parameter.shape};
  const TensorCut& cut = parameter.cut;
  if (cut.dim < 0) return box;
  const auto dim = static_cast<std::size_t>(cut.dim);
  DROVER_CHECK(cut.parts * cut.copies == tensor_ranks && parameter.shape[dim] % cut.parts == 0,
               parameter.name, " cut ", cut.parts, " x ", cut.copies, " over ", tensor_ranks,
               " tensor ranks");
  box.extent[dim] = parameter.shape[dim] / cut.parts;
  box.offset[dim] = box.extent[dim] * (tensor_rank / cut.copies);
  return box;
}

bool counts_piece(const ParameterLayout& parameter, int tensor_rank) {
  return parameter.cut.dim < 0 ? tensor_rank == 0 : tensor_rank % parameter.cut.copies == 0;
}

GroupLayout flat_layout(std::string name, std::span<const ParameterLayout> table, int group, int tensor_rank,
                        int tensor_ranks, int shards) {
  GroupLayout layout{.name = std::move(name)};
  std::int64_t end = 0;
  bool fused = false;  // the previous parameter asked that this one follow it without a gap
  for (std::size_t i = 0; i < table.size(); ++i) {
    const ParameterLayout& parameter = table[i];
    if (parameter.group != group || !parameter.tied_to.empty()) continue;
    const Box box = local_box(parameter, tensor_rank, tensor_ranks);
    const std::int64_t begin = fused ? end : round_up(end, kFlatAlignment);
    layout.pieces.push_back({.parameter = static_cast<int>(i), .begin = begin, .box = box});
    end = begin + box.numel();
    fused = parameter.fused_with_next;
  }
  layout.shard_size = round_up((end + shards - 1) / shards, kFlatAlignment);
  layout.size = layout.shard_size * shards;
  return layout;
}

void each_counted_range(const GroupLayout& group, std::span<const ParameterLayout> table, int tensor_rank,
                        FunctionRef<void(std::int64_t begin, std::int64_t end)> visit) {
  const auto counts = [&](std::size_t i) {
    return counts_piece(table[static_cast<std::size_t>(group.pieces[i].parameter)], tensor_rank);
  };
  if (!group.counted) return;
  for (std::size_t first = 0, next = 0; first < group.pieces.size(); first = std::max(next, first + 1)) {
    for (next = first; next < group.pieces.size() && counts(next);) ++next;
    if (next == first) continue;
    const GroupPiece& last = group.pieces[next - 1];
    visit(group.pieces[first].begin, last.end());
  }
}

std::vector<FlatBox> boxes_of_range(const GroupLayout& group, std::int64_t begin, std::int64_t end) {
  std::vector<FlatBox> boxes;
  for (const GroupPiece& piece : group.pieces) {
    const std::int64_t width = piece.box.extent[1];
    std::int64_t at = std::max(begin, piece.begin);
    const std::int64_t last = std::min(end, piece.end());
    while (at < last) {
      const std::int64_t row = (at - piece.begin) / width, column = (at - piece.begin) % width;
      // Whole rows when we stand at a row's start and at least one fits, otherwise what is left of this row.
      const std::int64_t whole = column == 0 ? (last - at) / width : 0;
      const std::int64_t columns = whole > 0 ? width : std::min(width - column, last - at);
      const Box box{.offset = {piece.box.offset[0] + row, piece.box.offset[1] + column},
                    .extent = {std::max<std::int64_t>(whole, 1), columns}};
      boxes.push_back({.parameter = piece.parameter, .box = box, .offset = at - begin});
      at += box.numel();
    }
  }
  return boxes;
}

}  // namespace drover
