// Products with a weight of few bits: x rounded to bytes, tiles of y in registers, the weight as
// block_layout.h says.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/cpu/block_layout.h"
#include "kernels/cpu/packed_matrix.h"
#include "kernels/cpu/round_rows.h"
#include "kernels/cpu/scratch.h"
#include "tensor/large_pages.h"

namespace aviary::kernels {
namespace {

// Rows and rows of B that are worked on at a time: their rounded x stays in the second-level cache.
constexpr int64_t rows_at_a_time = 120, k_at_a_time = 2048;

struct Sizes {
  int64_t unit, unit_bytes, group;
  int32_t middle;
};

Sizes sizes_of(Dtype type) {
  return with_layout(type, []<class Layout>(Layout) {
    return Sizes{Layout::unit, Layout::unit_bytes, Layout::form.group, Layout::form.middle};
  });
}

const BlockKernels& best_kernels(Dtype type) {
  if (const BlockKernels* vnni = block_kernels_vnni(type)) return *vnni;
  if (const BlockKernels* avx2 = block_kernels_avx2(type)) return *avx2;
  return *block_kernels_plain(type);
}

uint32_t load4(const uint8_t* from) {
  uint32_t four;
  std::memcpy(&four, from, 4);
  return four;
}
void store4(uint32_t four, std::byte* to) { std::memcpy(to, &four, 4); }

// The codes of one column in 32 rows: levels [32], the four of a step together.
template <int bits>
void place_codes(const uint8_t* levels, int64_t column, std::byte* codes) {
  std::byte* own = codes + column * 4;
  if constexpr (bits == 8) {
    for (int64_t step = 0; step < block_steps; ++step) store4(load4(levels + step * 4), own + step * 64);
    return;
  }
  constexpr uint32_t low = 0x0f0f0f0f;
  for (int64_t i = 0; i < 4; ++i)
    store4((load4(levels + i * 8) & low) | (load4(levels + i * 8 + 4) & low) << 4, own + i * 64);
  if constexpr (bits == 5)
    for (int64_t step = 0; step < block_steps; ++step) {
      const uint32_t fifth = load4(levels + step * 4) >> 4 & 0x01010101;
      const uint32_t nibble = fifth * 0x10204080u >> 28;  // the four bits, that of the first byte lowest
      codes[256 + step * 8 + column / 2] |= static_cast<std::byte>(nibble << (column % 2 * 4));
    }
  if constexpr (bits == 6)
    for (int64_t v = 0; v < 2; ++v) {
      uint32_t high = 0;
      for (int64_t j = 0; j < 4; ++j) high |= (load4(levels + (v * 4 + j) * 4) >> 4 & 0x03030303) << (2 * j);
      store4(high, own + 256 + v * 64);
    }
}

// Puts the levels of a block at `column` of a unit.
template <class Layout>
void place(const BlockLevels& block, int64_t column, std::byte* unit) {
  for (int64_t i = 0; i < Layout::unit; i += block_k)
    place_codes<Layout::bits>(block.levels + i, column, unit + Layout::codes_at(i / block_k));
  std::memcpy(unit + column * 2, &block.scale, 2);
  if constexpr (Layout::has_offset) std::memcpy(unit + (block_columns + column) * 2, &block.offset, 2);
  if constexpr (Layout::has_groups)
    for (int64_t g = 0; g < Layout::groups; ++g) {
      std::byte* at = unit + Layout::factors_at(g) + column;
      at[0] = static_cast<std::byte>(block.scales[g]);
      if constexpr (Layout::has_offset) at[block_columns] = static_cast<std::byte>(block.offsets[g]);
    }
}

// Room for `count` rounded rows of k numbers.
class RoundingMemory {
 public:
  RoundingMemory(AlignedScratch& scratch, int64_t count, int64_t k, int64_t group) : k_(k), group_(group) {
    const int64_t blocks = k / block_k, groups = k / group;
    float* memory = scratch.floats(count * (k / 4 + 2 * blocks + groups));
    codes_ = reinterpret_cast<int8_t*>(memory);
    scales_ = memory + count * k / 4;
    sums_ = scales_ + count * blocks;
    starts_ = reinterpret_cast<int32_t*>(sums_ + count * blocks);
  }

  RoundedRow row(int64_t r) const {
    const int64_t blocks = k_ / block_k;
    return {codes_ + r * k_, scales_ + r * blocks, sums_ + r * blocks, starts_ + r * (k_ / group_)};
  }
  RoundedRows rows() const { return {codes_, scales_, sums_, starts_, k_, group_}; }

 private:
  int8_t* codes_;
  float *scales_, *sums_;
  int32_t* starts_;
  int64_t k_, group_;
};

class BlockMatrix final : public PackedMatrix::Implementation {
 public:
  BlockMatrix(int64_t k, int64_t n, Dtype type)
      : Implementation(k, n, type),
        sizes_(sizes_of(type)),
        kernels_(best_kernels(type)),
        units_(k / sizes_.unit),
        panels_((n + block_columns - 1) / block_columns),
        panel_bytes_(units_ * sizes_.unit_bytes),
        data_(panels_ * panel_bytes_) {}

  void pack(const float*, int64_t, int64_t) override {
    fail("matmul: numbers are not packed as {}: encode them first", name_of(type()));
  }

  void pack_stored(Dtype stored, const std::byte* rows, int64_t first_panel, int64_t last_panel) override {
    require(stored == type(), "matmul: {} is not packed as {}", name_of(stored), name_of(type()));
    parallel_for(last_panel - first_panel, 1, [&](int64_t first, int64_t last) {
      with_layout(type(), [&]<class Layout>(Layout) {
        for (int64_t p = first_panel + first; p < first_panel + last; ++p) pack_panel<Layout>(p, rows);
      });
    });
  }

  void multiply(const float* x, int64_t m, int64_t x_stride, float* y, int64_t y_stride,
                bool accumulate) const override {
    static thread_local AlignedScratch scratch;
    const RoundingMemory rounded(scratch, m, k(), sizes_.group);
    parallel_for(m, 1 + (1 << 15) / k(), [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) round(x + r * x_stride, rounded.row(r));
    });
    parallel_for(panels_, 1 + (1 << 13) / panel_bytes_, [&](int64_t first, int64_t last) {
      multiply_panels(rounded.rows(), m, first, last, y, y_stride, accumulate);
    });
  }

  // Every thread rounds x for itself: that takes less time than waiting for another.
  void multiply_row(const float* x, float* y, bool accumulate, int64_t first, int64_t last) const override {
    static thread_local AlignedScratch scratch;
    const RoundingMemory rounded(scratch, 1, k(), sizes_.group);
    round(x, rounded.row(0));
    multiply_panels(rounded.rows(), 1, first, last, y, 0, accumulate);
  }

  int64_t panels() const override { return panels_; }
  int64_t panel_width() const override { return block_columns; }
  int64_t bytes() const override { return data_.bytes(); }

 private:
  void round(const float* x, const RoundedRow& row) const {
    round_row(x, k(), sizes_.group, sizes_.middle, row);
  }

  std::byte* panel_at(int64_t panel) const {
    return static_cast<std::byte*>(data_.data()) + panel * panel_bytes_;
  }

  template <class Layout>
  void pack_panel(int64_t panel, const std::byte* rows) {
    constexpr int64_t block_bytes = block_of(Layout::type).bytes;
    const int64_t first = panel * block_columns, columns = std::min(block_columns, n() - first);
    if (Layout::bits == 5) std::memset(panel_at(panel), 0, static_cast<size_t>(panel_bytes_));
    BlockLevels block;
    for (int64_t u = 0; u < units_; ++u)
      for (int64_t c = 0; c < columns; ++c) {
        unpack_block(type(), rows + ((first + c) * units_ + u) * block_bytes, block);
        place<Layout>(block, c, panel_at(panel) + u * Layout::unit_bytes);
      }
  }

  void multiply_panels(const RoundedRows& x, int64_t m, int64_t first, int64_t last, float* y,
                       int64_t y_stride, bool accumulate) const {
    const int64_t units_at_a_time = m == 1 ? units_ : k_at_a_time / sizes_.unit;
    for (int64_t u = 0; u < units_; u += units_at_a_time) {
      const int64_t units = std::min(units_at_a_time, units_ - u);
      for (int64_t r = 0; r < m; r += rows_at_a_time)
        for (int64_t p = first; p < last; ++p)
          multiply_tiles(x.from(r, u * sizes_.unit), std::min(rows_at_a_time, m - r), p, u, units,
                         y + r * y_stride + p * block_columns, y_stride, accumulate || u > 0);
    }
  }

  void multiply_tiles(const RoundedRows& x, int64_t rows, int64_t panel, int64_t u, int64_t units, float* y,
                      int64_t y_stride, bool accumulate) const {
    const std::byte* part = panel_at(panel) + u * sizes_.unit_bytes;
    const int64_t columns = std::min(block_columns, n() - panel * block_columns);
    int64_t r = 0;
    for (int t = 0; t < block_tile_count; ++t)
      for (const int64_t height = block_tile_rows[t]; r + height <= rows; r += height) {
        const RoundedRows from = x.from(r, 0);
        float* to = y + r * y_stride;
        if (columns == block_columns) {
          kernels_.tiles[t](from, part, units, to, y_stride, accumulate);
          continue;
        }
        float edge[block_tile_rows[0] * block_columns] = {};
        for (int64_t i = 0; accumulate && i < height; ++i)
          std::copy_n(to + i * y_stride, columns, edge + i * block_columns);
        kernels_.tiles[t](from, part, units, edge, block_columns, accumulate);
        for (int64_t i = 0; i < height; ++i)
          std::copy_n(edge + i * block_columns, columns, to + i * y_stride);
      }
  }

  const Sizes sizes_;
  const BlockKernels& kernels_;
  const int64_t units_, panels_, panel_bytes_;
  LargePages data_;
};

}  // namespace

std::unique_ptr<PackedMatrix::Implementation> make_block_matrix(int64_t k, int64_t n, Dtype type) {
  require(k % block_of(type).elements == 0, "matmul: {} columns are not whole blocks of {}", k,
          name_of(type));
  return std::make_unique<BlockMatrix>(k, n, type);
}

}  // namespace aviary::kernels
