// A tile of a float64 product (core/cpu/kernels.h), the way Goto and van de Geijn 2008 do it: both operands
// packed into slices as wide as a register block, so that the innermost loop reads memory in order whatever
// the orientation.
#pragma once

#include "core/cpu/kernels.h"
#include "core/cpu/lanes.h"

namespace drover::cpu {

template <class Isa>
struct Product64Kernel {
  using L = Lanes<Isa, double>;
  using V = typename L::V;
  static constexpr int kRows = Isa::kBytes == 64 ? 8 : 4;  // of a register block; 2 vectors wide
  static constexpr int kCols = 2 * L::kCount;

  static void run(const Product64& p) {
    double* packed_a = p.workspace;
    double* packed_b = p.workspace + kProduct64Panel * kProduct64Depth;
    // Once even for no terms at all: assigning an empty sum writes zeros.
    std::int64_t begin = 0;
    do {
      const std::int64_t depth = p.depth - begin < kProduct64Depth ? p.depth - begin : kProduct64Depth;
      pack<kRows>(p.a + begin * p.a_depth, p.a_row, p.a_depth, p.rows, depth, packed_a);
      pack<kCols>(p.b + begin * p.b_depth, p.b_col, p.b_depth, p.cols, depth, packed_b);
      multiply_packed(p, packed_a, packed_b, depth, begin > 0 || p.write == Write::add);
      begin += depth;
    } while (begin < p.depth);
  }

 private:
  // Slices of kWidth lines, each [depth][kWidth], the last one filled up with zeros.
  template <int kWidth>
  static void pack(const double* from, std::int64_t line, std::int64_t step, std::int64_t lines,
                   std::int64_t depth, double* to) {
    for (std::int64_t first = 0; first < lines; first += kWidth, to += depth * kWidth)
      for (int i = 0; i < kWidth; ++i)
        for (std::int64_t k = 0; k < depth; ++k)
          to[k * kWidth + i] = first + i < lines ? from[(first + i) * line + k * step] : 0.0;
  }

  static void multiply_packed(const Product64& p, const double* a, const double* b, std::int64_t depth,
                              bool add) {
    for (std::int64_t col = 0; col < p.cols; col += kCols)
      for (std::int64_t row = 0; row < p.rows; row += kRows) {
        double block[kRows * kCols];
        multiply_block(a + row * depth, b + col * depth, depth, block);
        write_block(p, row, col, block, add);
      }
  }

  static void multiply_block(const double* a, const double* b, std::int64_t depth, double* block) {
    V low[kRows] = {}, high[kRows] = {};
    for (std::int64_t k = 0; k < depth; ++k) {
      const V b_low = L::load(b + k * kCols), b_high = L::load(b + k * kCols + L::kCount);
      for (int i = 0; i < kRows; ++i) {
        const V factor = L::all(a[k * kRows + i]);
        low[i] = L::fma(factor, b_low, low[i]);
        high[i] = L::fma(factor, b_high, high[i]);
      }
    }
    for (int i = 0; i < kRows; ++i) {
      L::store(block + i * kCols, low[i]);
      L::store(block + i * kCols + L::kCount, high[i]);
    }
  }

  static void write_block(const Product64& p, std::int64_t row, std::int64_t col, const double* block,
                          bool add) {
    const std::int64_t rows = p.rows - row < kRows ? p.rows - row : kRows;
    const std::int64_t cols = p.cols - col < kCols ? p.cols - col : kCols;
    for (std::int64_t i = 0; i < rows; ++i) {
      double* out = p.out + (row + i) * p.out_row + col;
      for (std::int64_t j = 0; j < cols; ++j) out[j] = (add ? out[j] : 0.0) + block[i * kCols + j];
    }
  }
};

}  // namespace drover::cpu
