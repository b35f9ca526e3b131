#include "core/cpu/products.h"

#include <algorithm>
#include <cstring>

namespace drover::cpu {

namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The side of each of about `parts` pieces, a multiple of `unit` so that only the last is ragged.
std::int64_t piece(std::int64_t total, std::int64_t parts, std::int64_t unit) {
  return std::min(total, ceil_div(ceil_div(total, std::max<std::int64_t>(parts, 1)), unit) * unit);
}

// Rows of the operands and the result that belong to one tile.
struct Tile {
  Tensor a, b, out;
};

Tile tile_of(const Matmul& m, const TileGrid& grid, std::int64_t index) {
  const std::int64_t row = index / grid.across() * grid.tile_rows,
                     col = index % grid.across() * grid.tile_cols;
  const std::int64_t row_end = std::min(row + grid.tile_rows, grid.rows),
                     col_end = std::min(col + grid.tile_cols, grid.cols);
  return {m.a.slice(m.product == Product::tn ? 1 : 0, row, row_end),
          m.b.slice(m.product == Product::nt ? 0 : 1, col, col_end),
          m.out.slice(0, row, row_end).slice(1, col, col_end)};
}

std::int64_t depth_of(const Matmul& m) { return m.a.dims[m.product == Product::tn ? 0 : 1]; }

ProductShape shape_of(const Matmul& m, const Tile& tile) {
  return {.product = m.product,
          .write = m.write,
          .in = tile.a.dtype,
          .out = tile.out.dtype,
          .rows = tile.out.dims[0],
          .cols = tile.out.dims[1],
          .depth = depth_of(m),
          .a_stride = tile.a.strides[0],
          .b_stride = tile.b.strides[0],
          .out_stride = tile.out.strides[0]};
}

}  // namespace

// Measured on Zen 4 and Zen 5 (bench/ops.cpp): row tiles of about 256 are as fast as the whole product for
// nt and nn; tn wants a quarter of the rows or more. Columns are only cut to give every thread of a small
// machine something.
TileGrid library_tiles(Product product, std::int64_t rows, std::int64_t cols, std::int64_t depth) {
  constexpr std::int64_t kSide = 256, kWantedTiles = 8, kSmall = 1 << 20;
  if (rows * cols * depth <= kSmall) return {rows, cols, rows, cols};
  const std::int64_t least = product == Product::tn ? 4 : 1;
  const std::int64_t down = std::max(rows / kSide, std::min(least, rows / 64));
  const std::int64_t across = std::min(ceil_div(kWantedTiles, std::max<std::int64_t>(down, 1)), cols / kSide);
  return {rows, cols, piece(rows, down, 32), piece(cols, across, 32)};
}

TileGrid own_tiles(std::int64_t rows, std::int64_t cols, int threads) {
  constexpr std::int64_t kLeastRows = 48, kBlockRows = 12;  // a multiple of every path's
  const std::int64_t wanted_tiles = threads == 1 ? 1 : 4;
  const std::int64_t across = ceil_div(cols, kProductCols);
  const std::int64_t wanted = std::min(ceil_div(wanted_tiles, across), rows / kLeastRows);
  return {rows, cols, piece(rows, std::max(ceil_div(rows, kProductRows), wanted), kBlockRows),
          piece(cols, across, 32)};
}

Products::Products(Memory& memory, ThreadPool& pool, CpuPath path, const KernelTable& kernels)
    : memory_(memory), pool_(pool), kernels_(kernels), path_(path), library_(pool.threads(), path) {}

void Products::run(const Matmul& m) {
  library_.trim();
  if (!library_has(m.a.dtype))
    run_own(m);
  else if (depth_of(m) == 0)
    run_empty_sum(m);
  else
    run_library(m);
}

bool Products::library_has(DType dtype) const {
  return (dtype == DType::bfloat16 && path_ >= CpuPath::avx512_bf16) ||
         (dtype == DType::float32 && path_ >= CpuPath::avx512);
}

// The library wants at least one term.
void Products::run_empty_sum(const Matmul& m) {
  if (m.write == Write::add) return;
  for (std::int64_t row = 0; row < m.out.dims[0]; ++row)
    std::memset(m.out.slice(0, row, row + 1).data, 0,
                static_cast<std::size_t>(m.out.dims[1] * size_of(m.out.dtype)));
}

void Products::run_own(const Matmul& m) {
  prepare(m);
  const auto kernel = kernels_.product[table_index(m.a.dtype)][table_index(m.out.dtype)];
  const TileGrid grid = own_tiles(m.out.dims[0], m.out.dims[1], pool_.threads());
  const bool a_turned = m.product == Product::tn, b_turned = m.product == Product::nt;
  pool_.run(grid.tiles(), [&](std::int64_t index, int worker) {
    const Tile tile = tile_of(m, grid, index);
    kernel({.a = tile.a.data,
            .b = tile.b.data,
            .out = tile.out.data,
            .rows = tile.out.dims[0],
            .cols = tile.out.dims[1],
            .depth = depth_of(m),
            .a_row = a_turned ? 1 : m.a.strides[0],
            .a_depth = a_turned ? m.a.strides[0] : 1,
            .b_col = b_turned ? m.b.strides[0] : 1,
            .b_depth = b_turned ? 1 : m.b.strides[0],
            .out_row = m.out.strides[0],
            .write = m.write,
            .workspace = workspace(worker)});
  });
}

void Products::prepare(const Matmul& m) {
  if (m.out.numel() == 0 || depth_of(m) == 0) return;
  if (!library_has(m.a.dtype)) return reserve_workspace(kProductWorkspace * size_of(master_dtype(m.a.dtype)));
  const TileGrid grid = library_tiles(m.product, m.out.dims[0], m.out.dims[1], depth_of(m));
  for (std::int64_t index = 0; index < grid.tiles(); ++index)
    library_.product(shape_of(m, tile_of(m, grid, index)));
}

void Products::run_library(const Matmul& m) {
  prepare(m);
  const TileGrid grid = library_tiles(m.product, m.out.dims[0], m.out.dims[1], depth_of(m));
  pool_.run(grid.tiles(), [&](std::int64_t index, int worker) {
    const Tile tile = tile_of(m, grid, index);
    library_.run(library_.product(shape_of(m, tile)), worker, tile.a.data, tile.b.data, tile.out.data);
  });
}

void Products::reserve_workspace(std::int64_t bytes_per_worker) {
  if (bytes_per_worker <= workspace_bytes_) return;
  workspace_bytes_ = Arena::aligned(bytes_per_worker);
  workspace_.reset();
  workspace_ = Buffer(memory_, workspace_bytes_ * pool_.threads(), MemoryCategory::scratch);
}

void* Products::workspace(int worker) const {
  return static_cast<std::byte*>(workspace_.data()) + worker * workspace_bytes_;
}

}  // namespace drover::cpu
