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
#include "tensor/buffer.h"

namespace aviary::kernels {
namespace {

// Rows and rows of B that are worked on at a time: their rounded x stays in the second-level cache.
constexpr int64_t rows_at_a_time = 120, k_at_a_time = 2048;

struct Sizes {
  int64_t unit, unit_codes, unit_scales, group;
  int32_t middle;
};

Sizes sizes_of(Dtype type) {
  return with_layout(type, []<class Layout>(Layout) {
    return Sizes{Layout::unit, Layout::unit_codes, Layout::unit_scales, Layout::form.group,
                 Layout::form.middle};
  });
}

const BlockKernels& best_kernels(Dtype type) {
  if (const BlockKernels* vnni = block_kernels_vnni(type)) return *vnni;
  if (const BlockKernels* avx2 = block_kernels_avx2(type)) return *avx2;
  return *block_kernels_plain(type);
}

// Puts the levels of a block at `column` of a unit.
template <class Layout>
void place(const BlockLevels& block, int64_t column, std::byte* codes, std::byte* scales) {
  auto* bytes = reinterpret_cast<uint8_t*>(codes);
  for (int64_t i = 0; i < Layout::unit; ++i) {
    const int64_t step = i % block_k / 4, at = column * 4 + i % 4;
    uint8_t* of_32 = bytes + i / block_k * Layout::code_bytes;
    const unsigned level = block.levels[i];
    auto put = [&](int64_t byte, unsigned bits) { of_32[byte] = static_cast<uint8_t>(of_32[byte] | bits); };
    if constexpr (Layout::bits == 8) {
      of_32[step * 64 + at] = block.levels[i];
      continue;
    }
    put(step / 2 * 64 + at, (level & 15) << (step % 2 * 4));
    if constexpr (Layout::bits == 5) put(256 + step * 8 + at / 8, level >> 4 << (at % 8));
    if constexpr (Layout::bits == 6) put(256 + step / 4 * 64 + at, level >> 4 << (step % 4 * 2));
  }
  std::memcpy(scales + column * 2, &block.scale, 2);
  if constexpr (Layout::has_offset) std::memcpy(scales + (block_columns + column) * 2, &block.offset, 2);
  if constexpr (Layout::has_groups)
    for (int64_t g = 0; g < Layout::groups; ++g) {
      std::byte* at = scales + Layout::group_scales_at + g * Layout::pair * block_columns + column;
      at[0] = static_cast<std::byte>(block.scales[g]);
      if constexpr (Layout::has_offset) at[block_columns] = static_cast<std::byte>(block.offsets[g]);
    }
}

class BlockMatrix final : public PackedMatrix::Implementation {
 public:
  BlockMatrix(int64_t k, int64_t n, Dtype type)
      : Implementation(k, n, type),
        sizes_(sizes_of(type)),
        kernels_(best_kernels(type)),
        units_(k / sizes_.unit),
        panels_((n + block_columns - 1) / block_columns),
        panel_bytes_(units_ * (sizes_.unit_codes + sizes_.unit_scales)),
        data_(panels_ * panel_bytes_) {}

  void pack(const float*, int64_t, int64_t) override {
    fail("matmul: numbers are not packed as {}: encode them first", name_of(type()));
  }

  void pack_stored(Dtype stored, const std::byte* rows) override {
    require(stored == type(), "matmul: {} is not packed as {}", name_of(stored), name_of(type()));
    const int64_t block_bytes = block_of(type()).bytes, row_bytes = units_ * block_bytes;
    parallel_for(panels_, 1, [&](int64_t first, int64_t last) {
      std::memset(codes_of(first), 0, static_cast<size_t>((last - first) * panel_bytes_));
      BlockLevels block;
      for (int64_t p = first; p < last; ++p)
        for (int64_t u = 0; u < units_; ++u)
          for (int64_t c = 0; c < std::min(block_columns, n() - p * block_columns); ++c) {
            unpack_block(type(), rows + (p * block_columns + c) * row_bytes + u * block_bytes, block);
            with_layout(type(), [&]<class Layout>(Layout) {
              place<Layout>(block, c, codes_of(p) + u * sizes_.unit_codes,
                            scales_of(p) + u * sizes_.unit_scales);
            });
          }
    });
  }

  void multiply(const float* x, int64_t m, int64_t x_stride, float* y, int64_t y_stride,
                bool accumulate) const override {
    static thread_local AlignedScratch scratch;
    const int64_t blocks = k() / block_k, groups = k() / sizes_.group;
    const int64_t row_floats = k() / 4 + 2 * blocks + groups;
    float* memory = scratch.floats(m * row_floats);
    auto* codes = reinterpret_cast<int8_t*>(memory);
    float *scales = memory + m * k() / 4, *sums = scales + m * blocks;
    auto* starts = reinterpret_cast<int32_t*>(sums + m * blocks);
    parallel_for(m, 1 + (1 << 15) / k(), [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r)
        round_row(x + r * x_stride, k(), sizes_.group, sizes_.middle,
                  {codes + r * k(), scales + r * blocks, sums + r * blocks, starts + r * groups});
    });
    const RoundedRows rounded{codes, scales, sums, starts, k(), sizes_.group};
    parallel_for(panels_, 1 + (1 << 13) / panel_bytes_, [&](int64_t first, int64_t last) {
      multiply_panels(rounded, m, first, last, y, y_stride, accumulate);
    });
  }

  int64_t bytes() const override { return data_.bytes(); }

 private:
  std::byte* codes_of(int64_t panel) const {
    return static_cast<std::byte*>(data_.data()) + panel * panel_bytes_;
  }
  std::byte* scales_of(int64_t panel) const { return codes_of(panel) + units_ * sizes_.unit_codes; }

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
    const std::byte* codes = codes_of(panel) + u * sizes_.unit_codes;
    const std::byte* scales = scales_of(panel) + u * sizes_.unit_scales;
    const int64_t columns = std::min(block_columns, n() - panel * block_columns);
    int64_t r = 0;
    for (int t = 0; t < block_tile_count; ++t)
      for (const int64_t height = block_tile_rows[t]; r + height <= rows; r += height) {
        const RoundedRows from = x.from(r, 0);
        float* to = y + r * y_stride;
        if (columns == block_columns) {
          kernels_.tiles[t](from, codes, scales, units, to, y_stride, accumulate);
          continue;
        }
        float edge[block_tile_rows[0] * block_columns] = {};
        for (int64_t i = 0; accumulate && i < height; ++i)
          std::copy_n(to + i * y_stride, columns, edge + i * block_columns);
        kernels_.tiles[t](from, codes, scales, units, edge, block_columns, accumulate);
        for (int64_t i = 0; i < height; ++i)
          std::copy_n(edge + i * block_columns, columns, to + i * y_stride);
      }
  }

  const Sizes sizes_;
  const BlockKernels& kernels_;
  const int64_t units_, panels_, panel_bytes_;
  Buffer data_;
};

}  // namespace

std::unique_ptr<PackedMatrix::Implementation> make_block_matrix(int64_t k, int64_t n, Dtype type) {
  require(k % block_of(type).elements == 0, "matmul: {} columns are not whole blocks of {}", k,
          name_of(type));
  return std::make_unique<BlockMatrix>(k, n, type);
}

}  // namespace aviary::kernels
