// Our own matrix product: B in panels as wide as a tile, A copied block by block, tiles of C in registers.
// The loops follow Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).
#include <algorithm>
#include <cstring>

#include "base/threads.h"
#include "kernels/cpu/matmul_micro.h"
#include "kernels/cpu/matmul_provider.h"
#include "kernels/cpu/scratch.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"

namespace aviary::kernels {
namespace {

// Rows of A in a packed block: it stays in the second-level cache.
constexpr int64_t row_block = 16 * tile_rows;
// Columns of C worked on at a time.
constexpr int64_t column_block = 1024;
// From so many rows on, a panel of bf16 is widened once instead of in every tile.
constexpr int64_t widen_from = 2 * tile_rows;
// Widening in the tile takes a register from it.
constexpr int64_t bf16_tile_rows = 5;
constexpr int64_t max_panel_width = 128;

int64_t panels_for(int64_t columns, int64_t width) { return (columns + width - 1) / width; }

// A place for tiles that stick out of C.
struct EdgeTile {
  alignas(64) float values[tile_rows * tile_panels * max_panel_width];
};

// Runs a tile of which only `columns` columns exist in C.
void run_edge_tile(TileFunction tile, const float* a, const void* b, int64_t panel_bytes, int64_t k, float* c,
                   int64_t c_stride, bool accumulate, int64_t rows, int64_t columns, int64_t tile_columns) {
  EdgeTile edge;
  const size_t row_bytes = static_cast<size_t>(columns) * sizeof(float);
  if (accumulate) {
    std::fill_n(edge.values, rows * tile_columns, 0.0f);
    for (int64_t r = 0; r < rows; ++r)
      std::memcpy(edge.values + r * tile_columns, c + r * c_stride, row_bytes);
  }
  tile(a, b, panel_bytes, k, edge.values, tile_columns, accumulate);
  for (int64_t r = 0; r < rows; ++r) std::memcpy(c + r * c_stride, edge.values + r * tile_columns, row_bytes);
}

// Fetches the tile of C that comes next, of which `rows` rows exist, while this one is computed.
inline void prefetch_tile(const float* c, int64_t c_stride, int64_t rows) {
  for (int64_t r = 0; r < std::min(rows, tile_rows); ++r) __builtin_prefetch(c + r * c_stride, 1);
}

class OwnProduct final : public Product {
 public:
  OwnProduct(int64_t k, int64_t n, Precision precision)
      : kernels_(micro_kernels()),
        k_(k),
        n_(n),
        precision_(precision),
        dots_(precision == Precision::bf16 ? dot_kernels() : nullptr),
        steps_(dots_ ? (k + 1) / 2 : k),
        panel_bytes_((precision == Precision::bf16 ? (k + 1) / 2 : k) * kernels_.panel_width * 4),
        panels_(panels_for(n, kernels_.panel_width)),
        data_(panels_ * panel_bytes_) {}

  void pack(const float* b, int64_t k_stride, int64_t n_stride) override {
    parallel_for(panels_, 1 + (1 << 14) / (1 + panel_bytes_), [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) pack_panel(p, b, k_stride, n_stride);
    });
  }

  void multiply(const float* x, int64_t m, int64_t x_stride, float* y, int64_t y_stride,
                bool accumulate) const override {
    const Grid grid = choose_grid(m, n_, k_, tile_rows, kernels_.panel_width, 8, 4);
    parallel_for(grid.row_parts * grid.column_parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) {
        const int64_t row = part / grid.column_parts, column = part % grid.column_parts;
        const int64_t first = part_begin(m, tile_rows, grid.row_parts, row);
        const int64_t last = part_begin(m, tile_rows, grid.row_parts, row + 1);
        const int64_t first_panel = part_begin(panels_, 1, grid.column_parts, column);
        const int64_t last_panel = part_begin(panels_, 1, grid.column_parts, column + 1);
        multiply_slice({x + first * x_stride, last - first, x_stride},
                       {y + first * y_stride, y_stride, accumulate}, first_panel, last_panel);
      }
    });
  }

  int64_t bytes() const override { return data_.bytes(); }

 private:
  struct Input {
    const float* x;
    int64_t rows, stride;
  };
  struct Output {
    float* y;
    int64_t stride;
    bool accumulate;
  };
  // The rows and steps that are in the packed block of A now.
  struct Block {
    const float* a;
    int64_t rows, k_begin, k;
  };

  const std::byte* panel(int64_t p) const {
    return static_cast<const std::byte*>(data_.data()) + p * panel_bytes_;
  }

  void pack_panel(int64_t p, const float* b, int64_t k_stride, int64_t n_stride) {
    const int64_t width = kernels_.panel_width, columns = std::min(width, n_ - p * width);
    b += p * width * n_stride;
    if (precision_ == Precision::bf16) {
      auto* pairs = reinterpret_cast<bf16*>(const_cast<std::byte*>(panel(p)));
      for (int64_t i = 0; i < k_; ++i)
        for (int64_t j = 0; j < columns; ++j)
          pairs[(i / 2 * width + j) * 2 + i % 2] = to_bf16(b[i * k_stride + j * n_stride]);
      return;
    }
    auto* values = reinterpret_cast<float*>(const_cast<std::byte*>(panel(p)));
    constexpr int64_t step = 16;  // keeps the part of the panel that is written in the first-level cache
    for (int64_t first = 0; first < k_; first += step)
      for (int64_t j = 0; j < columns; ++j)
        for (int64_t i = first; i < std::min(k_, first + step); ++i)
          values[i * width + j] = b[i * k_stride + j * n_stride];
  }

  void multiply_slice(const Input& in, const Output& out, int64_t first_panel, int64_t last_panel) const {
    static thread_local AlignedScratch scratch;
    const int64_t panels_at_a_time = column_block / kernels_.panel_width;
    float* a = scratch.floats(row_block * a_row_stride);
    for (int64_t p = first_panel; p < last_panel; p += panels_at_a_time)
      for (int64_t r = 0; r < in.rows; r += row_block)
        for (int64_t k = 0; k < steps_; k += k_block) {
          const Block block{a, std::min(row_block, in.rows - r), k, std::min(k_block, steps_ - k)};
          pack_rows(in.x + r * in.stride, in.stride, block, a);
          multiply_block(block, {out.y + r * out.stride, out.stride, out.accumulate || k > 0}, p,
                         std::min(last_panel, p + panels_at_a_time));
        }
  }

  void pack_rows(const float* x, int64_t stride, const Block& block, float* a) const {
    for (int64_t r = 0; r < block.rows; ++r, x += stride, a += a_row_stride) {
      if (dots_)
        dots_->pair_columns(x + 2 * block.k_begin, std::min(2 * block.k, k_ - 2 * block.k_begin), a);
      else if (precision_ == Precision::bf16)
        kernels_.round(x + block.k_begin, block.k, a);
      else
        std::memcpy(a, x + block.k_begin, static_cast<size_t>(block.k) * sizeof(float));
    }
  }

  void multiply_block(const Block& block, const Output& out, int64_t first_panel, int64_t last_panel) const {
    static thread_local AlignedScratch scratch;
    const int64_t width = kernels_.panel_width;
    const bool narrow = precision_ == Precision::bf16 && !dots_;
    const bool widen = narrow && block.rows >= widen_from;
    const int64_t height = narrow && !widen ? bf16_tile_rows : tile_rows,
                  full_rows = block.rows / height * height;
    float* wide = widen ? scratch.floats(k_block * width) : nullptr;
    const auto& tiles = dots_ ? dots_->tiles : narrow && !widen ? kernels_.bf16 : kernels_.f32;
    const int64_t offset = block.k_begin / (narrow ? 2 : 1) * width * 4;
    for (int64_t group = first_panel; group < last_panel; group += tile_panels) {
      const int64_t group_end = std::min(last_panel, group + tile_panels);
      for (int64_t p = group; p < group_end; ++p) {
        const void* b = panel(p) + offset;
        if (widen) kernels_.widen(b, block.k, wide), b = wide;
        const int64_t rows = widen ? block.rows : full_rows;
        for (int64_t r = 0; r < rows; r += height) {
          prefetch_tile(out.y + (r + height) * out.stride + p * width, out.stride, rows - r - height);
          run_tile(tiles, block, out, r, std::min(height, rows - r), p, 1, b);
        }
      }
      if (widen || full_rows == block.rows) continue;
      const int64_t rest = block.rows - full_rows;
      for (int64_t p = group; p < group_end;) {
        const int64_t count = std::min(widest_tile(rest), group_end - p);
        run_tile(tiles, block, out, full_rows, rest, p, count, panel(p) + offset);
        p += count;
      }
    }
  }

  void run_tile(const TileFunction (&tiles)[tile_rows][tile_panels], const Block& block, const Output& out,
                int64_t first_row, int64_t rows, int64_t p, int64_t panels, const void* b) const {
    const int64_t width = kernels_.panel_width, columns = std::min(panels * width, n_ - p * width);
    const TileFunction tile = tiles[rows - 1][panels - 1];
    const float* a = block.a + first_row * a_row_stride;
    float* c = out.y + first_row * out.stride + p * width;
    if (columns == panels * width)
      tile(a, b, panel_bytes_, block.k, c, out.stride, out.accumulate);
    else
      run_edge_tile(tile, a, b, panel_bytes_, block.k, c, out.stride, out.accumulate, rows, columns,
                    panels * width);
  }

  const MicroKernels& kernels_;
  const int64_t k_, n_;
  const Precision precision_;
  const DotKernels* dots_;  // null: steps of bf16 are widened to f32
  const int64_t steps_;     // along K, pairs where dots_ multiply them
  const int64_t panel_bytes_, panels_;
  Buffer data_;
};

// c [N, K] += a^T b, a slice of it: N takes the place of rows and M is summed over, in blocks of k_block
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
    constexpr int64_t step = 8;  // lines of cache that are read again for the next tile
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
    constexpr int64_t ahead = 16, line = 16;  // rows lie too far apart for the hardware to foresee
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
          tile(tile_a, panel, 0, steps, tile_c, c_stride, true);
        else
          run_edge_tile(tile, tile_a, panel, 0, steps, tile_c, c_stride, true, count, wide, width);
      }
  }
};

}  // namespace

std::unique_ptr<Product> make_own_product(int64_t k, int64_t n, Precision precision) {
  return std::make_unique<OwnProduct>(k, n, precision);
}

void own_matmul_transposed(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t m,
                           int64_t n, int64_t k, float* c, int64_t c_stride, Precision precision) {
  const MicroKernels& kernels = micro_kernels();
  const DotKernels* dots = precision == Precision::bf16 ? dot_kernels() : nullptr;
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
