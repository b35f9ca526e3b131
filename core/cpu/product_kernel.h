// One tile of a product (core/cpu/kernels.h), the way Goto and van de Geijn 2008 do it: both operands are
// packed into slices as wide as a register block, so that the innermost loop reads memory in order whatever
// the orientation. Packing converts, so a bfloat16 product costs what a float32 one does.
#pragma once

#include "core/cpu/kernels.h"
#include "core/cpu/lanes.h"

namespace drover::cpu {

template <class Isa, class In, class Out>
struct ProductKernel {
  using M = MasterOf<In>;
  using L = Lanes<Isa, M>;
  using V = typename L::V;
  // A register block: as many rows of two vectors as the registers hold beside the operands.
  static constexpr int kRows = Isa::kBytes == 64 ? 12 : 6;
  static constexpr int kCols = 2 * L::kCount;
  static_assert(kProductRows % kRows == 0 && kProductCols % kCols == 0);

  static void run(const ProductTile& p) {
    const Packed packed(static_cast<M*>(p.workspace));
    // Once even for no terms at all: assigning an empty sum writes zeros.
    std::int64_t begin = 0;
    do {
      const std::int64_t left = p.depth - begin, depth = left < kProductDepth ? left : kProductDepth;
      const In* a = static_cast<const In*>(p.a) + begin * p.a_depth;
      const In* b = static_cast<const In*>(p.b) + begin * p.b_depth;
      if (p.a_depth == 1)
        pack_rows(a, p.a_row, p.rows, depth, packed.a);
      else
        pack_side_by_side<kRows>(a, p.a_depth, p.rows, depth, packed.a);
      if (p.b_depth == 1)
        pack_turned(b, p.b_col, p.cols, depth, packed.b);
      else
        pack_side_by_side<kCols>(b, p.b_depth, p.cols, depth, packed.b);
      multiply_packed(p, packed, {.depth = depth, .first = begin == 0, .last = left == depth});
      begin += depth;
    } while (begin < p.depth);
  }

 private:
  // Pieces of the workspace. A slice of A holds kRows rows, [kRows][kProductRowStride] or [depth][kRows] as
  // is cheaper to pack (a factor is broadcast from memory in either case), a slice of B [depth][kCols]. Sums
  // wait there between depths.
  struct Packed {
    explicit Packed(M* workspace)
        : a(workspace), b(a + kProductRows * kProductRowStride), sums(b + kProductCols * kProductDepth) {}
    M *a, *b, *sums;
  };
  struct Pass {
    std::int64_t depth;
    bool first, last;
  };

  // from[line * stride + k]: rows as they are.
  static void pack_rows(const In* from, std::int64_t stride, std::int64_t lines, std::int64_t depth, M* to) {
    const std::int64_t filled = (lines + kRows - 1) / kRows * kRows;
    for (std::int64_t i = 0; i < filled; ++i)
      if (i < lines)
        for_lanes<L>(depth, [&](std::int64_t k, auto lanes) {
          L::store(to + i * kProductRowStride + k, L::load(from + i * stride + k, lanes), lanes);
        });
      else
        for (std::int64_t k = 0; k < depth; ++k) to[i * kProductRowStride + k] = 0;
  }

  // from[k * stride + line]. Where a whole vector may be read, what it writes too much is overwritten by the
  // next k, and at a slice's end by the next slice (or lands in what follows in the workspace, written
  // later).
  template <int kWidth>
  static void pack_side_by_side(const In* from, std::int64_t stride, std::int64_t lines, std::int64_t depth,
                                M* to) {
    constexpr int kVectors = (kWidth + L::kCount - 1) / L::kCount;
    for (std::int64_t first = 0; first < lines; first += kWidth, to += depth * kWidth)
      for (std::int64_t k = 0; k < depth; ++k) {
        const In* in = from + k * stride + first;
        M* out = to + k * kWidth;
        if (first + kVectors * L::kCount <= lines)
          for (int v = 0; v < kVectors; ++v) L::store(out + v * L::kCount, L::load(in + v * L::kCount));
        else
          for (int i = 0; i < kWidth; ++i) out[i] = first + i < lines ? L::widen(in[i]) : M(0);
      }
  }

  // from[line * stride + k] to [k][kCols], squares of a vector's side at a time.
  static void pack_turned(const In* from, std::int64_t stride, std::int64_t lines, std::int64_t depth,
                          M* to) {
    for (std::int64_t first = 0; first < lines; first += kCols, to += depth * kCols) {
      const std::int64_t squares = first + kCols <= lines ? depth / L::kCount * L::kCount : 0;
      for (std::int64_t k = 0; k < squares; k += L::kCount)
        for (int half = 0; half < 2; ++half) {
          const In* in = from + (first + half * L::kCount) * stride + k;
          V square[L::kCount];
          for (int i = 0; i < L::kCount; ++i) square[i] = L::load(in + i * stride);
          L::turn(square);
          for (int i = 0; i < L::kCount; ++i) L::store(to + (k + i) * kCols + half * L::kCount, square[i]);
        }
      for (std::int64_t k = squares; k < depth; ++k)
        for (int i = 0; i < kCols; ++i)
          to[k * kCols + i] = first + i < lines ? L::widen(from[(first + i) * stride + k]) : M(0);
    }
  }

  static void multiply_packed(const ProductTile& p, const Packed& packed, const Pass& pass) {
    for (std::int64_t col = 0; col < p.cols; col += kCols)
      for (std::int64_t row = 0; row < p.rows; row += kRows) {
        const M* b = packed.b + col * pass.depth;
        M block[kRows * kCols];
        if (p.a_depth == 1)
          multiply_block<kProductRowStride, 1>(packed.a + row * kProductRowStride, b, pass.depth, block);
        else
          multiply_block<1, kRows>(packed.a + row * pass.depth, b, pass.depth, block);
        write_block(p, packed, pass, row, col, block);
      }
  }

  template <std::int64_t kRow, std::int64_t kDepth>
  static void multiply_block(const M* a, const M* b, std::int64_t depth, M* block) {
    V low[kRows] = {}, high[kRows] = {};
    for (std::int64_t k = 0; k < depth; ++k) {
      const V b_low = L::load(b + k * kCols), b_high = L::load(b + k * kCols + L::kCount);
      for (int i = 0; i < kRows; ++i) {
        const V factor = L::all(a[i * kRow + k * kDepth]);
        low[i] = L::fma(factor, b_low, low[i]);
        high[i] = L::fma(factor, b_high, high[i]);
      }
    }
    for (int i = 0; i < kRows; ++i) {
      L::store(block + i * kCols, low[i]);
      L::store(block + i * kCols + L::kCount, high[i]);
    }
  }

  static void write_block(const ProductTile& p, const Packed& packed, const Pass& pass, std::int64_t row,
                          std::int64_t col, const M* block) {
    const std::int64_t rows = p.rows - row < kRows ? p.rows - row : kRows;
    const std::int64_t cols = p.cols - col < kCols ? p.cols - col : kCols;
    for (std::int64_t i = 0; i < rows; ++i) {
      Out* out = static_cast<Out*>(p.out) + (row + i) * p.out_row + col;
      M* sums = packed.sums + (row + i) * kProductCols + col;
      for_lanes<L>(cols, [&](std::int64_t j, auto lanes) {
        V sum = L::load(block + i * kCols + j, lanes);
        if (!pass.first)
          sum = L::load(sums + j, lanes) + sum;
        else if (p.write == Write::add)
          sum = L::load(out + j, lanes) + sum;
        if (pass.last)
          L::store(out + j, sum, lanes);
        else
          L::store(sums + j, sum, lanes);
      });
    }
  }
};

}  // namespace drover::cpu
