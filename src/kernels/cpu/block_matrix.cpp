// Products with a weight in a block format: x is quantized to 8 bits, tiles of y are kept in registers, and
// the weight has the layout of block_layout.h.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/cpu/block_layout.h"
#include "kernels/cpu/matmul_blocks.h"
#include "kernels/cpu/packed_matrix.h"
#include "kernels/cpu/round_rows.h"
#include "kernels/cpu/scratch.h"

namespace aviary::kernels {
namespace {

// Rows of B that several tiles read in sequence: they stay in the first-level cache.
constexpr int64_t k_at_a_time = 1024;
// Bytes of quantized x processed at a time: they stay in the second-level cache.
constexpr int64_t x_at_a_time = 1 << 18;

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
  if (const BlockKernels* avx512 = block_kernels_avx512(type)) return *avx512;
  if (const BlockKernels* avx_vnni = block_kernels_avx_vnni(type)) return *avx_vnni;
  if (const BlockKernels* avx2 = block_kernels_avx2(type)) return *avx2;
  if (const BlockKernels* sdot = block_kernels_sdot(type)) return *sdot;
  return *block_kernels_plain(type);
}

uint32_t load4(const uint8_t* from) {
  uint32_t four;
  std::memcpy(&four, from, 4);
  return four;
}
void store4(uint32_t four, std::byte* to) { std::memcpy(to, &four, 4); }
void or4(uint32_t four, std::byte* to) { store4(load4(reinterpret_cast<const uint8_t*>(to)) | four, to); }

// The codes of one column in 32 rows: levels [32], the four of a step together.
template <class Layout>
void place_codes(const uint8_t* levels, int64_t column, std::byte* codes) {
  for (int64_t s = 0; s < block_steps; ++s) {
    const uint32_t level = load4(levels + s * 4);
    if constexpr (Layout::bits == 8) {
      store4(level, codes + s * step_bytes + column * 4);
      continue;
    }
    std::byte *both = codes + Layout::step_at(s) + column * 4, *high = codes + Layout::high_at(s);
    or4((level & 0x0f0f0f0f) << (s % 2 * 4), both);
    if constexpr (Layout::bits > 4)
      or4((level >> 4 & 0x0f0f0f0f) << Layout::high_shift(s), high + column * 4);
  }
}

// Writes the levels of a block to `column` of a unit.
template <class Layout>
void place(const BlockLevels& block, int64_t column, std::byte* unit) {
  for (int64_t i = 0; i < Layout::unit; i += block_k)
    place_codes<Layout>(block.levels + i, column, unit + Layout::codes_at(i / block_k));
  std::memcpy(unit + column * 2, &block.scale, 2);
  if constexpr (Layout::has_offset) std::memcpy(unit + (block_columns + column) * 2, &block.offset, 2);
  if constexpr (Layout::has_groups)
    for (int64_t g = 0; g < Layout::groups; ++g) {
      std::byte* at = unit + Layout::factors_at(g) + column;
      at[0] = static_cast<std::byte>(block.scales[g]);
      if constexpr (Layout::has_offset) at[block_columns] = static_cast<std::byte>(block.offsets[g]);
    }
}

// Reads what place_codes() wrote.
template <class Layout>
void read_codes(const std::byte* codes, int64_t column, uint8_t* levels) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(codes);
  for (int64_t s = 0; s < block_steps; ++s) {
    uint32_t level = 0;
    if constexpr (Layout::bits == 8) {
      level = load4(bytes + s * step_bytes + column * 4);
    } else {
      const uint8_t* high = bytes + Layout::high_at(s);
      level = load4(bytes + Layout::step_at(s) + column * 4) >> (s % 2 * 4) & 0x0f0f0f0f;
      constexpr uint32_t ones = Layout::bits == 5 ? 0x01010101 : 0x03030303;
      if constexpr (Layout::bits > 4)
        level |= (load4(high + column * 4) >> Layout::high_shift(s) & ones) << 4;
    }
    std::memcpy(levels + s * 4, &level, 4);
  }
}

// The numbers of the block at `column` of a unit, equal to the result of decode_blocks().
template <class Layout>
void read_numbers(const std::byte* unit, int64_t column, float* numbers) {
  f16 scale, offset{};
  std::memcpy(&scale, unit + column * 2, 2);
  if constexpr (Layout::has_offset) std::memcpy(&offset, unit + (block_columns + column) * 2, 2);
  uint8_t levels[block_k];
  constexpr int64_t group = Layout::form.group;
  for (int64_t i = 0; i < Layout::unit; i += block_k) {
    read_codes<Layout>(unit + Layout::codes_at(i / block_k), column, levels);
    for (int64_t first = 0; first < block_k; first += group) {
      float step = to_float(scale), start = to_float(offset);
      if constexpr (Layout::has_groups) {
        const std::byte* factors = unit + Layout::factors_at((i + first) / group) + column;
        step *= static_cast<float>(std::to_integer<int8_t>(factors[0]));
        if constexpr (Layout::has_offset)
          start *= static_cast<float>(std::to_integer<uint8_t>(factors[block_columns]));
      }
      for (int64_t j = first; j < first + group; ++j)
        numbers[i + j] = static_cast<float>(levels[j] - Layout::form.middle) * step + start;
    }
  }
}

class BlockMatrix final : public PackedMatrix::Implementation {
 public:
  BlockMatrix(int64_t k, int64_t n, Dtype type, WeightMemory memory)
      : Implementation(k, n, type),
        sizes_(sizes_of(type)),
        kernels_(best_kernels(type)),
        units_(k / sizes_.unit),
        panels_((n + block_columns - 1) / block_columns),
        panel_bytes_(units_ * sizes_.unit_bytes) {
    take(std::move(memory), panels_ * panel_bytes_);
  }

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

  void unpack(int64_t first_panel, int64_t last_panel, float* rows) const override {
    parallel_for(last_panel - first_panel, 1, [&](int64_t first, int64_t last) {
      with_layout(type(), [&]<class Layout>(Layout) {
        for (int64_t p = first; p < last; ++p)
          unpack_panel<Layout>(first_panel + p, rows + p * block_columns * k());
      });
    });
  }

  void multiply(const float* x, int64_t m, int64_t x_stride, float* y, int64_t y_stride,
                bool accumulate) const override {
    static thread_local AlignedScratch scratch;
    RoundedBlock* rounded = blocks_for(scratch, m);
    parallel_for(m, 1 + (1 << 15) / k(), [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) round(x + r * x_stride, rounded + r * row_blocks());
    });
    parallel_for(panels_, 1 + (1 << 13) / panel_bytes_, [&](int64_t first, int64_t last) {
      multiply_panels({rounded, row_blocks()}, m, first, last, {y, y_stride, accumulate});
    });
  }

  // Every thread quantizes x itself, which takes less time than waiting for another thread.
  void multiply_row(const float* x, float* y, bool accumulate, int64_t first, int64_t last) const override {
    static thread_local AlignedScratch scratch;
    RoundedBlock* rounded = blocks_for(scratch, 1);
    round(x, rounded);
    multiply_panels({rounded, row_blocks()}, 1, first, last, {y, 0, accumulate});
  }

  int64_t panels() const override { return panels_; }
  int64_t panel_width() const override { return block_columns; }

 private:
  int64_t row_blocks() const { return k() / block_k; }
  RoundedBlock* blocks_for(AlignedScratch& scratch, int64_t rows) const {
    return reinterpret_cast<RoundedBlock*>(
        scratch.floats(rows * row_blocks() * static_cast<int64_t>(sizeof(RoundedBlock) / sizeof(float))));
  }
  void round(const float* x, RoundedBlock* row) const { round_row(x, k(), sizes_.group, sizes_.middle, row); }

  std::byte* panel_at(int64_t panel) const {
    return static_cast<std::byte*>(data_.data()) + panel * panel_bytes_;
  }

  template <class Layout>
  void pack_panel(int64_t panel, const std::byte* rows) {
    constexpr int64_t block_bytes = block_of(Layout::type).bytes;
    const int64_t first = panel * block_columns, columns = std::min(block_columns, n() - first);
    if (Layout::bits < 8) std::memset(panel_at(panel), 0, static_cast<size_t>(panel_bytes_));
    BlockLevels block;
    for (int64_t u = 0; u < units_; ++u)
      for (int64_t c = 0; c < columns; ++c) {
        unpack_block(type(), rows + ((first + c) * units_ + u) * block_bytes, block);
        place<Layout>(block, c, panel_at(panel) + u * Layout::unit_bytes);
      }
  }

  template <class Layout>
  void unpack_panel(int64_t panel, float* rows) const {
    const int64_t columns = std::min(block_columns, n() - panel * block_columns);
    for (int64_t u = 0; u < units_; ++u)
      for (int64_t c = 0; c < columns; ++c)
        read_numbers<Layout>(panel_at(panel) + u * Layout::unit_bytes, c, rows + c * k() + u * Layout::unit);
  }

  struct Output {
    float* y;
    int64_t stride;
    bool accumulate;
  };

  // Panels [first, last), in the order in which they lie in memory.
  void multiply_panels(const RoundedRows& x, int64_t m, int64_t first, int64_t last,
                       const Output& out) const {
    const int64_t most_rows = std::max(kernels_.tile_rows, x_at_a_time / k()),
                  chunks = (m - 1) / most_rows + 1;
    const int64_t most_units = m <= kernels_.tile_rows ? units_ : k_at_a_time / sizes_.unit;
    for (int64_t c = 0; c < chunks; ++c) {
      const int64_t r = part_begin(m, kernels_.tile_rows, chunks, c),
                    end = part_begin(m, kernels_.tile_rows, chunks, c + 1);
      for (int64_t p = first; p < last; ++p)
        for (int64_t u = 0; u < units_; u += most_units)
          multiply_part(x.from(r, u * sizes_.unit), end - r, p, u, std::min(most_units, units_ - u),
                        {out.y + r * out.stride, out.stride, out.accumulate || u > 0});
    }
  }

  // Some units of a panel, in tiles of equal height. The tiles together prefetch what follows.
  void multiply_part(const RoundedRows& x, int64_t rows, int64_t panel, int64_t first_unit, int64_t units,
                     const Output& out) const {
    const int64_t tiles = (rows + kernels_.tile_rows - 1) / kernels_.tile_rows;
    const std::byte* b = panel_at(panel) + first_unit * sizes_.unit_bytes;
    const int64_t bytes = units * sizes_.unit_bytes, blocks = units * sizes_.unit / block_k,
                  ahead_lines = (bytes / tiles / blocks + line_bytes - 1) / line_bytes;
    const std::byte* ahead = b + bytes;
    for (int64_t t = 0; t < tiles; ++t, ahead += ahead_lines * blocks * line_bytes) {
      const int64_t r = part_begin(rows, 1, tiles, t), end = part_begin(rows, 1, tiles, t + 1);
      const bool wanted = ahead < b + 2 * bytes;
      run_tile(x.from(r, 0), end - r, panel, b, units, {out.y + r * out.stride, out.stride, out.accumulate},
               ahead, wanted ? ahead_lines : 0);
    }
  }

  void run_tile(const RoundedRows& x, int64_t rows, int64_t panel, const std::byte* b, int64_t units,
                const Output& out, const std::byte* ahead, int64_t ahead_lines) const {
    const BlockTile tile = kernels_.tiles[rows - 1];
    const int64_t first = panel * block_columns, columns = std::min(block_columns, n() - first);
    float* y = out.y + first;
    if (columns == block_columns) return tile(x, b, units, y, out.stride, out.accumulate, ahead, ahead_lines);
    alignas(64) float edge[most_block_rows * block_columns] = {};
    for (int64_t r = 0; out.accumulate && r < rows; ++r)
      std::copy_n(y + r * out.stride, columns, edge + r * block_columns);
    tile(x, b, units, edge, block_columns, out.accumulate, ahead, ahead_lines);
    for (int64_t r = 0; r < rows; ++r) std::copy_n(edge + r * block_columns, columns, y + r * out.stride);
  }

  const Sizes sizes_;
  const BlockKernels& kernels_;
  const int64_t units_, panels_, panel_bytes_;
};

}  // namespace

std::unique_ptr<PackedMatrix::Implementation> make_block_matrix(int64_t k, int64_t n, Dtype type,
                                                                WeightMemory memory) {
  require(k % block_of(type).elements == 0, "matmul: {} columns are not whole blocks of {}", k,
          name_of(type));
  return std::make_unique<BlockMatrix>(k, n, type, std::move(memory));
}

}  // namespace aviary::kernels
