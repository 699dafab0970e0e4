// The layout of a packed matrix of a block format.
//
// B [K, N] is stored in consecutive panels of 32 columns. K is divided into units: the blocks of the file's
// format, of 32 or 256 numbers. Everything in a unit is in the order in which a product reads it, so that
// memory is read sequentially: a gap of some cache lines restarts the hardware prefetcher (measured: the
// speed falls to a third). A unit contains
//   scales   per unit f16 [32], in formats with an offset two f16 [32]
// and for every 32 rows of B
//   factors  in formats with groups: per group int8 [32] and, with an offset, uint8 [32]
//   codes    8 steps of 4 rows, a step being [32 columns, 4 rows] bytes, of `bits` bits each:
//     8 bits   the steps themselves
//     4 bits   for every two steps 128 bytes: the first in their low halves, the second in their high halves
//     5 bits   the fifth bits of all steps in 128 bytes, those of step s in bit s / 2 if s is even and in bit
//              s / 2 + 4 if it is odd, then as 4 bits
//     6 bits   for every four steps their high bits, those of step j in bits 2 j and 2 j + 1 of 128 bytes,
//              then as 4 bits
// form_of() (numbers/blocks.h) gives the meaning of a code.
#pragma once

#include <hwy/base.h>

#include <utility>

#include "kernels/cpu/matmul_micro.h"
#include "numbers/blocks.h"

namespace aviary::kernels {

inline constexpr int64_t block_columns = 32;  // of a panel
inline constexpr int64_t block_k = 32;        // rows of B whose activations share a scale
inline constexpr int64_t block_steps = 8;     // of 4 rows
inline constexpr int64_t step_bytes = 4 * block_columns;

template <Dtype type_>
struct BlockLayout {
  static constexpr Dtype type = type_;
  static constexpr BlockForm form = form_of(type_);
  static constexpr int bits = form.bits;
  static constexpr bool has_offset = form.has_offset;
  static constexpr int64_t unit = block_of(type_).elements;
  static constexpr bool has_groups = unit > block_k;
  static constexpr int64_t groups = unit / form.group;  // in a unit
  static constexpr int64_t groups_in_32 = block_k / form.group;
  static constexpr int64_t code_bytes = block_steps * step_bytes * bits / 8;  // per 32 rows
  static constexpr int64_t high_steps = bits == 5 ? 8 : 4;  // whose high bits share 128 bytes
  static constexpr int64_t high_bytes = bits == 5 || bits == 6 ? step_bytes : 0;  // of that many steps
  static constexpr int64_t pair = has_offset ? 2 : 1;
  static constexpr int64_t scale_bytes = pair * 2 * block_columns;
  static constexpr int64_t factor_bytes = has_groups ? groups_in_32 * pair * block_columns : 0;
  static constexpr int64_t block_bytes = factor_bytes + code_bytes;
  static constexpr int64_t unit_bytes = scale_bytes + unit / block_k * block_bytes;

  // Offsets, within the codes of 32 rows, of the 4-bit halves of step i and of its high bits.
  static constexpr int64_t step_at(int64_t i) {
    return (i / high_steps + 1) * high_bytes + i / 2 * step_bytes;
  }
  static constexpr int64_t high_at(int64_t i) {
    return i / high_steps * (high_bytes + high_steps / 2 * step_bytes);
  }
  // The lowest of the high bits of step i, in each byte.
  static constexpr int high_shift(int64_t i) {
    return static_cast<int>(bits == 5 ? i / 2 + i % 2 * 4 : i % 4 * 2);
  }
  // Offsets within a unit.
  static constexpr int64_t codes_at(int64_t block) {
    return scale_bytes + block * block_bytes + factor_bytes;
  }
  static constexpr int64_t factors_at(int64_t group) {
    return scale_bytes + group / groups_in_32 * block_bytes + group % groups_in_32 * pair * block_columns;
  }
};

// Prefetches what a product of one row reads `ahead` bytes after `now`, the codes of 32 rows of B.
template <class Layout>
inline void prefetch_row(const std::byte* now, int64_t ahead) {
  constexpr int64_t bytes = Layout::block_bytes + (Layout::unit == block_k ? Layout::scale_bytes : 0);
  HWY_UNROLL(18)
  for (int64_t i = 0; i < bytes; i += line_bytes) __builtin_prefetch(now + ahead + i, 0, 3);
}

// 32 numbers of x quantized to int8.
struct RoundedBlock {
  int8_t codes[block_k];
  float scale;
  float sum;          // scale * sum of the codes
  int32_t starts[2];  // of each group of the format: -middle * sum of its codes
};
// Rows of x in such blocks: [rows, row_blocks].
struct RoundedRows {
  const RoundedBlock* blocks;
  int64_t row_blocks;

  RoundedRows from(int64_t row, int64_t at) const {
    return {blocks + row * row_blocks + at / block_k, row_blocks};
  }
};

// y [rows, 32] = or += x B for the columns of a panel and `units` units. `ahead`: the part of B that is
// needed next, prefetched meanwhile, `ahead_lines` cache lines for every 32 rows of B; not for one row, which
// prefetches what lies row_ahead() bytes further.
using BlockTile = void (*)(const RoundedRows& x, const std::byte* panel, int64_t units, float* y,
                           int64_t y_stride, bool accumulate, const std::byte* ahead, int64_t ahead_lines);
inline constexpr int64_t most_block_rows = 12;
struct BlockKernels {
  int64_t tile_rows;                 // of the tallest tile
  BlockTile tiles[most_block_rows];  // [rows - 1]
};

// tile_of<rows>() is the tile for that number of rows.
template <int64_t tile_rows, class TileOf>
constexpr BlockKernels make_block_kernels(TileOf tile_of) {
  return [&]<int64_t... before>(std::integer_sequence<int64_t, before...>) {
    return BlockKernels{tile_rows, {tile_of.template operator()<before + 1>()...}};
  }
  (std::make_integer_sequence<int64_t, tile_rows>());
}

// The kernels of one format; null if the CPU lacks the instructions or set_isa() forbids them.
const BlockKernels* block_kernels_vnni(Dtype type);
const BlockKernels* block_kernels_avx512(Dtype type);  // without VNNI
const BlockKernels* block_kernels_avx_vnni(Dtype type);
const BlockKernels* block_kernels_avx2(Dtype type);
const BlockKernels* block_kernels_sdot(Dtype type);
const BlockKernels* block_kernels_plain(Dtype type);

// Calls action(BlockLayout<type>()) for the format.
template <typename Action>
auto with_layout(Dtype type, Action action) {
  switch (type) {
    case Dtype::q5_1:
      return action(BlockLayout<Dtype::q5_1>());
    case Dtype::q5_0:
      return action(BlockLayout<Dtype::q5_0>());
    case Dtype::q4_1:
      return action(BlockLayout<Dtype::q4_1>());
    case Dtype::q4_0:
      return action(BlockLayout<Dtype::q4_0>());
    case Dtype::q4_k:
      return action(BlockLayout<Dtype::q4_k>());
    case Dtype::q5_k:
      return action(BlockLayout<Dtype::q5_k>());
    case Dtype::q6_k:
      return action(BlockLayout<Dtype::q6_k>());
    default:
      return action(BlockLayout<Dtype::q8_0>());
  }
}

}  // namespace aviary::kernels
