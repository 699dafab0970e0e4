#include "kernels/cpu/matmul_blocks.h"

#include <cstring>
#include <limits>

#include "base/threads.h"

namespace aviary::kernels {
namespace {

constexpr int64_t max_panel_width = 128;

// Memory for tiles that extend beyond C.
struct EdgeTile {
  alignas(64) float values[tile_rows * tile_panels * max_panel_width];
};

}  // namespace

void run_edge_tile(TileFunction tile, const float* a, const void* b, int64_t panel_bytes, int64_t k, float* c,
                   int64_t c_stride, bool accumulate, int64_t rows, int64_t columns, int64_t tile_columns) {
  EdgeTile edge;
  const size_t row_bytes = static_cast<size_t>(columns) * sizeof(float);
  if (accumulate) {
    std::fill_n(edge.values, rows * tile_columns, 0.0f);
    for (int64_t r = 0; r < rows; ++r)
      std::memcpy(edge.values + r * tile_columns, c + r * c_stride, row_bytes);
  }
  tile(a, b, panel_bytes, k, edge.values, tile_columns, accumulate, b);
  for (int64_t r = 0; r < rows; ++r) std::memcpy(c + r * c_stride, edge.values + r * tile_columns, row_bytes);
}

Grid choose_grid(int64_t rows, int64_t columns, int64_t depth, int64_t row_unit, int64_t column_unit,
                 int64_t row_cost, int64_t column_cost) {
  constexpr int64_t work_per_worker = 1 << 15;  // multiplications that justify waking a thread
  const int64_t row_units = (rows + row_unit - 1) / row_unit,
                column_units = (columns + column_unit - 1) / column_unit;
  const double work = static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(depth);
  const auto workers =
      static_cast<int64_t>(std::clamp(work / work_per_worker, 1.0, static_cast<double>(threads())));
  Grid best{1, 1};
  int64_t best_cost = std::numeric_limits<int64_t>::max();
  for (int64_t row_parts = 1; row_parts <= std::min(workers, row_units); ++row_parts) {
    const int64_t column_parts = std::min(workers / row_parts, column_units);
    const int64_t part_rows = (row_units + row_parts - 1) / row_parts * row_unit;
    const int64_t part_columns = (column_units + column_parts - 1) / column_parts * column_unit;
    const int64_t cost = part_rows * part_columns + row_cost * part_rows + column_cost * part_columns;
    if (cost < best_cost) best_cost = cost, best = {row_parts, column_parts};
  }
  return best;
}

int64_t part_begin(int64_t size, int64_t unit, int64_t parts, int64_t i) {
  const int64_t units = (size + unit - 1) / unit;
  return std::min(size, units * i / parts * unit);
}

}  // namespace aviary::kernels
