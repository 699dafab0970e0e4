// Products with a weight in f32, bf16 or f16: B in panels as wide as a tile, x copied block by block, tiles
// of y in registers.
#include <algorithm>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/matmul_blocks.h"
#include "kernels/cpu/packed_matrix.h"
#include "kernels/cpu/scratch.h"
#include "numbers/encoding.h"

namespace aviary::kernels {
namespace {

// From this number of rows, a bf16 panel is widened once instead of in every tile.
constexpr int64_t widen_from = 2 * tile_rows;
// Widening within the tile costs it a register.
constexpr int64_t bf16_tile_rows = 5;

int64_t panels_for(int64_t columns, int64_t width) { return (columns + width - 1) / width; }

int64_t width_of_panel(Dtype type) { return type == Dtype::f32 ? micro_kernels().panel_width : narrow_width; }
int64_t bytes_of_panel(int64_t k, Dtype type) {
  return (type == Dtype::f32 ? k : (k + 1) / 2) * width_of_panel(type) * 4;
}

class FloatMatrix final : public PackedMatrix::Implementation {
 public:
  FloatMatrix(int64_t k, int64_t n, Dtype type, WeightMemory memory)
      : Implementation(k, n, type),
        kernels_(micro_kernels()),
        dots_(type == Dtype::bf16 ? dot_kernels() : nullptr),
        steps_(dots_ ? (k + 1) / 2 : k),
        width_(width_of_panel(type)),
        tile_width_(kernels_.panel_width),
        parts_(width_ / tile_width_),
        panel_bytes_(bytes_of_panel(k, type)),
        panels_(panels_for(n, width_)) {
    take(std::move(memory), panels_ * panel_bytes_);
  }

  void pack(const float* b, int64_t k_stride, int64_t n_stride) override {
    parallel_for(panels_, 1 + (1 << 14) / (1 + panel_bytes_), [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) pack_panel(p, b, k_stride, n_stride);
    });
  }

  void pack_stored(Dtype stored, const std::byte* rows, int64_t first_panel, int64_t last_panel) override {
    const int64_t width = width_, row_bytes = bytes_of(stored, k_);
    const bool as_stored = stored == type() && (stored != Dtype::bf16 || k_ % 2 == 0);
    parallel_for(last_panel - first_panel, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = first_panel + begin; as_stored && p < first_panel + end; ++p)
        place_rows(rows + p * width * row_bytes, row_bytes, std::min(width, n_ - p * width), p);
      if (as_stored) return;
      AlignedScratch scratch;
      float* values = scratch.floats(width * k_);
      for (int64_t p = first_panel + begin; p < first_panel + end; ++p) {
        const int64_t first = p * width, count = std::min(width, n_ - first);
        decode(stored, rows + first * row_bytes, {values, static_cast<size_t>(count * k_)});
        pack_panel(p, values - first * k_, 1, k_);
      }
    });
  }

  void unpack(int64_t first_panel, int64_t last_panel, float* rows) const override {
    parallel_for(last_panel - first_panel, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) unpack_panel(first_panel + p, rows + p * width_ * k_);
    });
  }

  void multiply(const float* x, int64_t m, int64_t x_stride, float* y, int64_t y_stride,
                bool accumulate) const override {
    const Grid grid = choose_grid(m, n_, k_, tile_rows, width_, 8, 4);
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

  // Reads every panel sequentially, which is the fastest way to read memory.
  void multiply_row(const float* x, float* y, bool accumulate, int64_t first, int64_t last) const override {
    static thread_local AlignedScratch scratch;
    if (type() == Dtype::bf16) {
      float* rounded = scratch.floats(k_ + 16);
      pack_rows(x, 0, {rounded, 1, 0, steps_}, rounded);
      x = rounded;
    }
    const Block block{x, 1, 0, steps_};
    const auto& tiles = tiles_for(narrow());
    const int64_t most = std::min<int64_t>(parts_, tile_panels);
    for (int64_t p = first * parts_; p < std::min(last * parts_, panels_for(n_, tile_width_)); p += most)
      run_tile(tiles, block, {y, 0, accumulate}, 0, 1, p, most, part(p), part(p));
  }

  int64_t panels() const override { return panels_; }
  int64_t panel_width() const override { return width_; }

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
  // The rows and steps that the packed block of A currently holds.
  struct Block {
    const float* a;
    int64_t rows, k_begin, k;
  };

  const std::byte* panel(int64_t p) const {
    return static_cast<const std::byte*>(data_.data()) + p * panel_bytes_;
  }

  // Columns of a tile.
  const std::byte* part(int64_t p) const { return panel(p / parts_) + p % parts_ * part_bytes(); }
  int64_t part_bytes() const { return tile_width_ * (type() == Dtype::f16 ? 2 : 4); }

  // Stored rows of W, which are the columns of a panel.
  void place_rows(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t p) {
    if (type() == Dtype::f16)
      place_numbers<uint16_t>(rows, row_bytes, count, panel(p));
    else  // bf16: two at a time
      place_numbers<uint32_t>(rows, row_bytes, count, panel(p));
  }

  template <typename Number>
  void place_numbers(const std::byte* rows, int64_t row_bytes, int64_t count, const std::byte* panel) const {
    constexpr int64_t size = sizeof(Number), step = line_bytes / size;
    const int64_t numbers = row_bytes / size, width = width_;
    auto* to = reinterpret_cast<Number*>(const_cast<std::byte*>(panel));
    for (int64_t first = 0; first < numbers; first += step)
      for (int64_t j = 0; j < count; ++j) {
        const std::byte* row = rows + j * row_bytes;
        for (int64_t i = first; i < std::min(numbers, first + step); ++i)
          std::memcpy(&to[i * width + j], row + i * size, size);
      }
  }

  void pack_panel(int64_t p, const float* b, int64_t k_stride, int64_t n_stride) {
    const int64_t width = width_, columns = std::min(width, n_ - p * width);
    b += p * width * n_stride;
    if (dots_)
      return pack_pairs(b, k_stride, n_stride, columns,
                        reinterpret_cast<float*>(const_cast<std::byte*>(panel(p))));
    if (type() == Dtype::bf16) {
      auto* pairs = reinterpret_cast<bf16*>(const_cast<std::byte*>(panel(p)));
      for (int64_t i = 0; i < k_; ++i)
        for (int64_t j = 0; j < columns; ++j)
          pairs[(i / 2 * width + j) * 2 + i % 2] = to_bf16(b[i * k_stride + j * n_stride]);
      return;
    }
    if (type() == Dtype::f16) {
      auto* halves = reinterpret_cast<f16*>(const_cast<std::byte*>(panel(p)));
      for (int64_t i = 0; i < k_; ++i)
        for (int64_t j = 0; j < columns; ++j) halves[i * width + j] = to_f16(b[i * k_stride + j * n_stride]);
      return;
    }
    auto* values = reinterpret_cast<float*>(const_cast<std::byte*>(panel(p)));
    constexpr int64_t step = 16;  // the part of the panel being written stays in the first-level cache
    for (int64_t first = 0; first < k_; first += step)
      for (int64_t j = 0; j < columns; ++j)
        for (int64_t i = first; i < std::min(k_, first + step); ++i)
          values[i * width + j] = b[i * k_stride + j * n_stride];
  }

  // Columns of a panel as rows [columns, K] of float32.
  void unpack_panel(int64_t p, float* rows) const {
    switch (type()) {
      case Dtype::bf16:
        return read_panel<bf16, 2>(p, rows);
      case Dtype::f16:
        return read_panel<f16, 1>(p, rows);
      default:
        return read_panel<float, 1>(p, rows);
    }
  }

  // `group` numbers of a column lie together.
  template <typename Number, int64_t group>
  void read_panel(int64_t p, float* rows) const {
    const int64_t width = width_, columns = std::min(width, n_ - p * width);
    const auto* numbers = reinterpret_cast<const Number*>(panel(p));
    constexpr int64_t step = 16;  // the part of the panel being read stays in the first-level cache
    int64_t first = 0;
    for (; first + step <= k_; first += step)
      for (int64_t j = 0; j < columns; ++j) {
        const Number* from = numbers + first * width + j * group;
        float* to = rows + j * k_ + first;
        for (int64_t i = 0; i < step; i += group)
          for (int64_t part = 0; part < group; ++part) to[i + part] = as_float(from[i * width + part]);
      }
    for (int64_t j = 0; j < columns; ++j)
      for (int64_t i = first; i < k_; ++i)
        rows[j * k_ + i] = as_float(numbers[i / group * group * width + j * group + i % group]);
  }
  static float as_float(float x) { return x; }
  template <typename Number>
  static float as_float(Number x) {
    return to_float(x);
  }

  // A bf16 panel on a CPU with instructions that round pairs.
  void pack_pairs(const float* b, int64_t k_stride, int64_t n_stride, int64_t columns, float* panel) const {
    const int64_t width = width_;
    if (n_stride == 1) {
      for (int64_t i = 0; i < k_; i += 2, b += 2 * k_stride, panel += width)
        dots_->pair_rows(b, i + 1 < k_ ? b + k_stride : nullptr, columns, panel);
      return;
    }
    constexpr int64_t step = 32, widest = 32;
    alignas(64) float pairs[widest][step];
    for (int64_t first = 0; first < steps_; first += step) {
      const int64_t count = std::min(step, steps_ - first);
      for (int64_t j = 0; j < columns; ++j)
        dots_->pair_columns(b + j * n_stride + 2 * first, std::min(2 * count, k_ - 2 * first), pairs[j]);
      for (int64_t i = 0; i < count; ++i)
        for (int64_t j = 0; j < columns; ++j) panel[(first + i) * width + j] = pairs[j][i];
    }
  }

  // Whether f32 tiles read 16-bit numbers.
  bool narrow() const { return type() != Dtype::f32 && !dots_; }

  const TileFunction (&tiles_for(bool of_narrow) const)[tile_rows][tile_panels] {
    if (dots_) return dots_->tiles;
    if (!of_narrow) return kernels_.f32;
    return type() == Dtype::f16 ? kernels_.f16 : kernels_.bf16;
  }

  void multiply_slice(const Input& in, const Output& out, int64_t first_panel, int64_t last_panel) const {
    static thread_local AlignedScratch scratch;
    const int64_t blocks = (in.rows + row_block - 1) / row_block;
    float* a = scratch.floats(row_block * a_row_stride);
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t r = part_begin(in.rows, tile_rows, blocks, i);
      for (int64_t k = 0; k < steps_; k += k_block) {
        const Block block{a, part_begin(in.rows, tile_rows, blocks, i + 1) - r, k,
                          std::min(k_block, steps_ - k)};
        pack_rows(in.x + r * in.stride, in.stride, block, a);
        multiply_block(block, {out.y + r * out.stride, out.stride, out.accumulate || k > 0}, first_panel,
                       last_panel);
      }
    }
  }

  void pack_rows(const float* x, int64_t stride, const Block& block, float* a) const {
    for (int64_t r = 0; r < block.rows; ++r, x += stride, a += a_row_stride) {
      if (dots_)
        dots_->pair_columns(x + 2 * block.k_begin, std::min(2 * block.k, k_ - 2 * block.k_begin), a);
      else if (type() == Dtype::bf16)
        kernels_.round(x + block.k_begin, block.k, a);
      else
        std::memcpy(a, x + block.k_begin, static_cast<size_t>(block.k) * sizeof(float));
    }
  }

  void multiply_block(const Block& block, const Output& out, int64_t first_panel, int64_t last_panel) const {
    static thread_local AlignedScratch scratch;
    const bool widen = narrow() && block.rows >= widen_from;
    const int64_t height = narrow() && !widen ? bf16_tile_rows : tile_rows,
                  tiles_of_rows = (block.rows + height - 1) / height;
    float* wide = widen ? scratch.floats(k_block * tile_width_) : nullptr;
    const auto& tiles = tiles_for(narrow() && !widen);
    const int64_t offset = block.k_begin / (narrow() ? 2 : 1) * width_ * 4;
    const int64_t first = first_panel * parts_,
                  last = std::min(last_panel * parts_, panels_for(n_, tile_width_));
    if (tiles_of_rows == 1) {  // few rows: a tile is as wide as the registers allow
      const int64_t most = widest_tile(block.rows);
      for (int64_t p = first; p < last; p += most) {
        const std::byte* b = part(p) + offset;
        // A tile prefetches one panel, which is not enough if it reads several.
        const bool fetches = most <= parts_ && p % parts_ == 0 && p + parts_ < last;
        run_tile(tiles, block, out, 0, block.rows, p, std::min(most, last - p), b,
                 fetches ? part(p + parts_) + offset : b);
      }
      return;
    }
    const int64_t block_bytes = block.k * panel_bytes_ / steps_;
    for (int64_t p = first; p < last; ++p) {
      const void* b = part(p) + offset;
      const std::byte* next = p + parts_ < last ? panel(p / parts_ + 1) + offset : nullptr;
      if (widen) (type() == Dtype::f16 ? kernels_.widen_f16 : kernels_.widen)(b, block.k, wide), b = wide;
      // Tiles of equal height: a lower last one would be limited by reading B.
      for (int64_t tile = 0; tile < tiles_of_rows; ++tile) {
        const int64_t r = part_begin(block.rows, 1, tiles_of_rows, tile),
                      end = part_begin(block.rows, 1, tiles_of_rows, tile + 1);
        prefetch_tile(out.y + end * out.stride + p * tile_width_, out.stride, block.rows - end);
        const int64_t fetched = (p % parts_ * tiles_of_rows + tile) * block.k * line_bytes;
        run_tile(tiles, block, out, r, end - r, p, 1, b, next && fetched < block_bytes ? next + fetched : b);
      }
    }
  }

  void run_tile(const TileFunction (&tiles)[tile_rows][tile_panels], const Block& block, const Output& out,
                int64_t first_row, int64_t rows, int64_t p, int64_t panels, const void* b,
                const void* ahead) const {
    const int64_t width = panels * tile_width_, columns = std::min(width, n_ - p * tile_width_);
    const int64_t stride = parts_ == 1 ? panel_bytes_ : part_bytes();
    const TileFunction tile = tiles[rows - 1][panels - 1];
    const float* a = block.a + first_row * a_row_stride;
    float* c = out.y + first_row * out.stride + p * tile_width_;
    if (columns == width)
      tile(a, b, stride, block.k, c, out.stride, out.accumulate, ahead);
    else
      run_edge_tile(tile, a, b, stride, block.k, c, out.stride, out.accumulate, rows, columns, width);
  }

  const MicroKernels& kernels_;
  const DotKernels* const dots_;      // null: steps of bf16 are widened to f32
  const int64_t steps_;               // along K; pairs if dots_ multiplies them
  const int64_t width_;               // of a panel
  const int64_t tile_width_, parts_;  // of a tile, and how many lie side by side in a panel
  const int64_t panel_bytes_, panels_;
};

}  // namespace

int64_t bytes_of_float_matrix(int64_t k, int64_t n, Dtype type) {
  return panels_for(n, width_of_panel(type)) * bytes_of_panel(k, type);
}

std::unique_ptr<PackedMatrix::Implementation> make_float_matrix(int64_t k, int64_t n, Dtype type,
                                                                WeightMemory memory) {
  return std::make_unique<FloatMatrix>(k, n, type, std::move(memory));
}

}  // namespace aviary::kernels
