// Divides products into parts for workers, blocks for caches, and tiles for registers. The loops follow Goto
// and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/matmul_micro.h"

namespace aviary::kernels {

// Rows of A in a packed block: it stays in the second-level cache.
inline constexpr int64_t row_block = 16 * tile_rows;
// Columns of C worked on at a time.
inline constexpr int64_t column_block = 1024;

// The division of a grid of tiles among workers: parts along rows times parts along columns.
struct Grid {
  int64_t row_parts, column_parts;
};
// The grid of at most threads() parts with the cheapest largest part, for tiles of `row_unit` by
// `column_unit` elements. row_cost and column_cost: the cost of reading a row or a column, in elements of
// arithmetic.
Grid choose_grid(int64_t rows, int64_t columns, int64_t depth, int64_t row_unit, int64_t column_unit,
                 int64_t row_cost, int64_t column_cost);

// Start of part i when [0, size) is divided into `parts` parts of whole units; for i = parts, `size`.
int64_t part_begin(int64_t size, int64_t unit, int64_t parts, int64_t i);

// Runs a tile of which only the first `columns` columns exist in C.
void run_edge_tile(TileFunction tile, const float* a, const void* b, int64_t panel_bytes, int64_t k, float* c,
                   int64_t c_stride, bool accumulate, int64_t rows, int64_t columns, int64_t tile_columns);

// Prefetches the next tile of C, of which `rows` rows exist, while the current one is computed.
inline void prefetch_tile(const float* c, int64_t c_stride, int64_t rows) {
  for (int64_t r = 0; r < std::min(rows, tile_rows); ++r) __builtin_prefetch(c + r * c_stride, 1);
}

}  // namespace aviary::kernels
