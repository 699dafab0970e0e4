// Products with block formats in plain C++, for any CPU.
#include <cstring>

#include "kernels/cpu/block_layout.h"

namespace aviary::kernels {
namespace {

// The codes of 32 rows of B, as bytes [8 steps, 32 columns, 4 rows].
template <class Layout>
void unpack(const std::byte* from, uint8_t* codes) {
  const auto* at = reinterpret_cast<const uint8_t*>(from);
  if constexpr (Layout::bits == 8) {
    std::memcpy(codes, at, block_steps * step_bytes);
    return;
  }
  for (int64_t s = 0; s < block_steps; ++s, codes += step_bytes) {
    const uint8_t *both = at + Layout::step_at(s), *high = at + Layout::high_at(s);
    for (int64_t j = 0; j < step_bytes; ++j) {
      int code = both[j] >> (s % 2 * 4) & 15;
      constexpr int ones = Layout::bits == 5 ? 1 : 3;
      if constexpr (Layout::bits > 4) code |= (high[j] >> Layout::high_shift(s) & ones) << 4;
      codes[j] = static_cast<uint8_t>(code);
    }
  }
}

float half_at(const std::byte* at, int64_t i) {
  f16 half;
  std::memcpy(&half, at + 2 * i, 2);
  return to_float(half);
}

template <class Layout>
float scale_of(const std::byte* unit, int64_t group, int64_t column) {
  const float scale = half_at(unit, column);
  if constexpr (!Layout::has_groups) return scale;
  const std::byte factor = unit[Layout::factors_at(group) + column];
  return scale * static_cast<float>(static_cast<int8_t>(factor));
}
template <class Layout>
float offset_of(const std::byte* unit, int64_t group, int64_t column) {
  const float offset = half_at(unit, block_columns + column);
  if constexpr (!Layout::has_groups) return offset;
  const std::byte factor = unit[Layout::factors_at(group) + block_columns + column];
  return offset * static_cast<float>(static_cast<uint8_t>(factor));
}

// Adds the products of 32 rows of B.
template <class Layout>
void add_block(const uint8_t* codes, const std::byte* unit, int64_t block_in_unit, const RoundedBlock& x,
               float* y) {
  constexpr int64_t steps = block_steps / Layout::groups_in_32;
  for (int64_t g = 0; g < Layout::groups_in_32; ++g) {
    int32_t dot[block_columns];
    for (int32_t& d : dot) d = x.starts[g];
    for (int64_t s = g * steps; s < (g + 1) * steps; ++s)
      for (int64_t c = 0; c < block_columns; ++c)
        for (int64_t i = 0; i < 4; ++i) dot[c] += codes[s * step_bytes + c * 4 + i] * x.codes[s * 4 + i];
    for (int64_t c = 0; c < block_columns; ++c)
      y[c] += static_cast<float>(dot[c]) * x.scale *
              scale_of<Layout>(unit, block_in_unit * Layout::groups_in_32 + g, c);
  }
  if constexpr (Layout::has_offset)
    for (int64_t c = 0; c < block_columns; ++c) y[c] += offset_of<Layout>(unit, block_in_unit, c) * x.sum;
}

template <class Layout, int64_t rows>
void tile(const RoundedRows& x, const std::byte* panel, int64_t units, float* y, int64_t y_stride,
          bool accumulate, const std::byte*, int64_t) {
  constexpr int64_t blocks = Layout::unit / block_k;
  float sum[rows][block_columns] = {};
  for (int r = 0; accumulate && r < rows; ++r) std::memcpy(sum[r], y + r * y_stride, sizeof(sum[r]));
  uint8_t bytes_of[block_steps * step_bytes];
  for (int64_t block = 0; block < units * blocks; ++block) {
    const std::byte* unit = panel + block / blocks * Layout::unit_bytes;
    unpack<Layout>(unit + Layout::codes_at(block % blocks), bytes_of);
    for (int r = 0; r < rows; ++r)
      add_block<Layout>(bytes_of, unit, block % blocks, x.blocks[r * x.row_blocks + block], sum[r]);
  }
  for (int r = 0; r < rows; ++r) std::memcpy(y + r * y_stride, sum[r], sizeof(sum[r]));
}

}  // namespace

const BlockKernels* block_kernels_plain(Dtype type) {
  return with_layout(type, []<class Layout>(Layout) {
    static constexpr BlockKernels kernels =
        make_block_kernels<12>([]<int64_t rows>() { return tile<Layout, rows>; });
    return &kernels;
  });
}

}  // namespace aviary::kernels
