#include "model/parameters.h"

namespace drover {

namespace {

// The matrix of `count` consecutive fused pieces.
Tensor matrix(const GroupLayout& layout, const Tensor& flat, std::size_t first, std::size_t count = 1) {
  const GroupPiece& piece = layout.pieces.at(first);
  std::int64_t rows = 0;
  for (std::size_t i = first; i < first + count; ++i) rows += layout.pieces.at(i).box.extent[0];
  const std::int64_t cols = piece.box.extent[1];
  return flat.slice(0, piece.begin, piece.begin + rows * cols).view({rows, cols});
}

Tensor vector(const GroupLayout& layout, const Tensor& flat, std::size_t index) {
  const GroupPiece& piece = layout.pieces.at(index);
  return flat.slice(0, piece.begin, piece.end());
}

// The order of a block's rows in model/layouts.cpp.
enum BlockPiece : std::size_t { kAttentionNorm, kQ, kK, kV, kOut, kMlpNorm, kGate, kUp, kDown };

}  // namespace

Tensor embedding_view(const GroupLayout& layout, const Tensor& flat) { return matrix(layout, flat, 0); }

BlockWeights block_view(const GroupLayout& layout, const Tensor& flat) {
  return {.attention_norm = vector(layout, flat, kAttentionNorm),
          .attention = {.qkv = matrix(layout, flat, kQ, 3), .out = matrix(layout, flat, kOut)},
          .mlp_norm = vector(layout, flat, kMlpNorm),
          .mlp = {.gate_up = matrix(layout, flat, kGate, 2), .down = matrix(layout, flat, kDown)}};
}

HeadWeights head_view(const GroupLayout& layout, const Tensor& flat) {
  return {.norm = vector(layout, flat, 0),
          .head = layout.pieces.size() > 1 ? matrix(layout, flat, 1) : Tensor{}};
}

}  // namespace drover
