// The product that sums over rows, for the gradient of a weight. Both factors are packed block by block.
#include <cstring>

#include "base/threads.h"
#include "kernels/cpu/matmul_blocks.h"
#include "kernels/cpu/scratch.h"
#include "kernels/matmul.h"

namespace aviary::kernels {
namespace {

// A slice of c [N, K] += a^T b: N takes the place of the rows, and the sum runs over M, in blocks of k_block
// steps.
struct TransposedSlice {
  const MicroKernels& kernels;
  const DotKernels* dots;  // null: steps of bf16 are rounded and multiplied in f32
  Precision precision;
  const float *a, *b;
  float* c;
  int64_t a_stride, b_stride, c_stride, m, n, k;

  void run() const {
    static thread_local AlignedScratch a_scratch, b_scratch;
    float* packed_a = a_scratch.floats(row_block * k_block);
    float* packed_b = b_scratch.floats(k_block * (column_block + kernels.panel_width));
    const int64_t block = dots ? 2 * k_block : k_block;
    for (int64_t column = 0; column < k; column += column_block)
      for (int64_t i = 0; i < m; i += block) {
        const int64_t depth = std::min(block, m - i), columns = std::min(column_block, k - column);
        pack_b(b + i * b_stride + column, depth, columns, packed_b);
        for (int64_t row = 0; row < n; row += row_block) {
          const int64_t rows = std::min(row_block, n - row);
          pack_a(a + i * a_stride + row, depth, rows, packed_a);
          multiply(packed_a, packed_b, dots ? (depth + 1) / 2 : depth, rows, columns,
                   c + row * c_stride + column);
        }
      }
  }

 private:
  void pack_a(const float* from, int64_t depth, int64_t rows, float* packed) const {
    if (dots) return pack_pairs_of_a(from, depth, rows, packed);
    constexpr int64_t step = 8;  // cache lines that are read again for the next tile
    for (int64_t first = 0; first < depth; first += step)
      for (int64_t r = 0; r < rows; r += tile_rows) {
        const int64_t count = std::min(tile_rows, rows - r);
        float* to = packed + r * k_block;
        for (int64_t i = first; i < std::min(depth, first + step); ++i)
          if (count == tile_rows)
            std::memcpy(to + i * tile_rows, from + i * a_stride + r, sizeof(float) * tile_rows);
          else
            std::copy_n(from + i * a_stride + r, count, to + i * count);
      }
    if (precision == Precision::bf16) kernels.round(packed, rows * k_block, packed);
  }

  void pack_pairs_of_a(const float* from, int64_t depth, int64_t rows, float* packed) const {
    constexpr int64_t step = 8;
    alignas(64) float pairs[step][row_block];
    const int64_t steps = (depth + 1) / 2;
    for (int64_t first = 0; first < steps; first += step) {
      const int64_t last = std::min(steps, first + step);
      for (int64_t i = first; i < last; ++i) {
        const float* row = from + 2 * i * a_stride;
        dots->pair_rows(row, 2 * i + 1 < depth ? row + a_stride : nullptr, rows, pairs[i - first]);
      }
      for (int64_t r = 0; r < rows; r += tile_rows) {
        const int64_t count = std::min(tile_rows, rows - r);
        float* to = packed + r * k_block;
        for (int64_t i = first; i < last; ++i)
          if (count == tile_rows)
            std::memcpy(to + i * tile_rows, pairs[i - first] + r, sizeof(float) * tile_rows);
          else
            std::copy_n(pairs[i - first] + r, count, to + i * count);
      }
    }
  }

  void pack_b(const float* from, int64_t depth, int64_t columns, float* packed) const {
    const int64_t width = kernels.panel_width;
    const bool rounded = precision == Precision::bf16;
    for (int64_t j = 0; j < columns; j += width) {
      const int64_t count = std::min(width, columns - j);
      float* to = packed + j * k_block;
      if (dots) {
        pack_pairs_of_b(from + j, depth, count, to);
        continue;
      }
      if (count == width) {
        kernels.copy_panel(from + j, b_stride, depth, rounded, to);
        continue;
      }
      for (int64_t i = 0; i < depth; ++i) {
        std::copy_n(from + i * b_stride + j, count, to + i * width);
        std::fill_n(to + i * width + count, width - count, 0.0f);
      }
      if (rounded) kernels.round(to, depth * width, to);
    }
  }

  void pack_pairs_of_b(const float* from, int64_t depth, int64_t columns, float* panel) const {
    constexpr int64_t ahead = 16, line = 16;  // rows are too far apart for the hardware prefetcher
    for (int64_t i = 0; i < depth; i += 2, panel += kernels.panel_width) {
      const float* row = from + i * b_stride;
      for (int64_t j = 0; j < columns && i + ahead + 1 < depth; j += line) {
        __builtin_prefetch(row + ahead * b_stride + j);
        __builtin_prefetch(row + (ahead + 1) * b_stride + j);
      }
      dots->pair_rows(row, i + 1 < depth ? row + b_stride : nullptr, columns, panel);
      std::fill(panel + columns, panel + kernels.panel_width, 0.0f);
    }
  }

  void multiply(const float* packed_a, const float* packed_b, int64_t steps, int64_t rows, int64_t columns,
                float* to) const {
    const int64_t width = kernels.panel_width;
    for (int64_t j = 0; j < columns; j += width)
      for (int64_t r = 0; r < rows; r += tile_rows) {
        const int64_t count = std::min(tile_rows, rows - r), wide = std::min(width, columns - j);
        const TileFunction tile = (dots ? dots->transposed : kernels.transposed)[count - 1];
        const float *tile_a = packed_a + r * k_block, *panel = packed_b + j * k_block;
        float* tile_c = to + r * c_stride + j;
        prefetch_tile(tile_c + tile_rows * c_stride, c_stride, rows - r - tile_rows);
        if (wide == width)
          tile(tile_a, panel, 0, steps, tile_c, c_stride, true, panel);
        else
          run_edge_tile(tile, tile_a, panel, 0, steps, tile_c, c_stride, true, count, wide, width);
      }
  }
};

// A thin matrix has few columns, as those of adapters. Packing the other one would take longer than the
// product.
constexpr int64_t thin_unit = 8, thin_most = 32;

bool is_thin(int64_t columns) { return columns <= thin_most && columns % thin_unit == 0; }

// c [n, K] += a^T b with a thin a [M, n], for some columns of b.
void multiply_thin(const DotKernels& dots, const float* a, int64_t a_stride, const float* b, int64_t b_stride,
                   int64_t m, int64_t n, int64_t k, float* c, int64_t c_stride) {
  constexpr int64_t block = 256, lanes = 16;  // rows of b that stay in the second-level cache
  alignas(64) float pairs[block / 2 * 2 * thin_unit];
  for (int64_t i = 0; i < m; i += block)
    for (int64_t row = 0; row < n;) {
      const int64_t depth = std::min(block, m - i),
                    rows = n - row >= 2 * thin_unit ? 2 * thin_unit : thin_unit;
      for (int64_t step = 0; step < depth; step += 2) {
        const float* from = a + (i + step) * a_stride + row;
        dots.pair_rows(from, step + 1 < depth ? from + a_stride : nullptr, rows, pairs + step / 2 * rows);
      }
      for (int64_t j = 0; j < k; j += lanes)
        dots.thin[rows / thin_unit - 1](pairs, b + i * b_stride + j, b_stride, depth, std::min(lanes, k - j),
                                        c + row * c_stride + j, c_stride);
      row += rows;
    }
}

// The same, divided among threads.
void thin_product(const DotKernels& dots, const float* a, int64_t a_stride, const float* b, int64_t b_stride,
                  int64_t m, int64_t n, int64_t k, float* c, int64_t c_stride) {
  constexpr int64_t unit = 64, least = 1 << 18;  // columns of a unit; numbers of b that justify a thread
  parallel_for((k + unit - 1) / unit, std::max<int64_t>(least / (m * unit), 1),
               [&](int64_t begin, int64_t end) {
                 const int64_t first = begin * unit;
                 multiply_thin(dots, a, a_stride, b + first, b_stride, m, n, std::min(k, end * unit) - first,
                               c + first, c_stride);
               });
}

}  // namespace

void matmul_transposed(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t m,
                       int64_t n, int64_t k, float* c, int64_t c_stride, Precision precision) {
  if (m <= 0 || n <= 0 || k <= 0) return;
  const MicroKernels& kernels = micro_kernels();
  const DotKernels* dots = precision == Precision::bf16 ? dot_kernels() : nullptr;
  if (dots && is_thin(n)) return thin_product(*dots, a, a_stride, b, b_stride, m, n, k, c, c_stride);
  if (dots && is_thin(k)) {
    static thread_local AlignedScratch scratch;
    float* turned = scratch.floats(k * n);
    std::fill_n(turned, k * n, 0.0f);
    thin_product(*dots, b, b_stride, a, a_stride, m, k, n, turned, n);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < k; ++j) c[i * c_stride + j] += turned[j * n + i];
    return;
  }
  const Grid grid = choose_grid(n, k, m, tile_rows, kernels.panel_width, 8, 8);
  parallel_for(grid.row_parts * grid.column_parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t row = part / grid.column_parts, column = part % grid.column_parts;
      const int64_t n0 = part_begin(n, tile_rows, grid.row_parts, row);
      const int64_t n1 = part_begin(n, tile_rows, grid.row_parts, row + 1);
      const int64_t k0 = part_begin(k, kernels.panel_width, grid.column_parts, column);
      const int64_t k1 = part_begin(k, kernels.panel_width, grid.column_parts, column + 1);
      TransposedSlice{kernels,  dots,     precision, a + n0, b + k0,  c + n0 * c_stride + k0,
                      a_stride, b_stride, c_stride,  m,      n1 - n0, k1 - k0}
          .run();
    }
  });
}

}  // namespace aviary::kernels
