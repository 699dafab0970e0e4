// How a matrix of blocks of few bits lies in memory for products.
//
// B [K, N] in panels of 16 columns, one behind the other. K is cut into units: the blocks of the file's
// format, 32 or 256 long. A unit is what follows, so that a product reads memory from one end to the other,
// never a line out of turn: over a gap of some lines the foresight of the hardware begins anew (measured: a
// third of the speed).
//   scales   per unit f16 [16], in formats with an offset two f16 [16]
// and for every 32 rows of B
//   factors  in formats with groups: per group int8 [16] and, with an offset, uint8 [16]
//   codes    8 steps of 4 rows, a step being [16 columns, 4 rows] bytes, of `bits` bits each:
//     8 bits   the steps themselves, 512 bytes
//     4 bits   4 vectors of 64 bytes: step 2 i in the low halves of vector i, step 2 i + 1 in the high halves
//     5 bits   as 4, then 8 masks of 64 bits: bit j of mask i is the fifth bit of byte j of step i
//     6 bits   as 4, then two vectors: bits 2 j and 2 j + 1 of vector v are the high bits of step 4 v + j
// What a code means is told by form_of() (tensor/blocks.h).
#pragma once

#include "tensor/blocks.h"

namespace aviary::kernels {

inline constexpr int64_t block_columns = 16;  // of a panel
inline constexpr int64_t block_k = 32;        // rows of B whose activations share a scale
inline constexpr int64_t block_steps = 8;     // of 4 rows

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
  static constexpr int64_t code_bytes = block_steps * 8 * bits;  // per 32 rows
  static constexpr int64_t pair = has_offset ? 2 : 1;
  static constexpr int64_t scale_bytes = pair * 2 * block_columns;
  static constexpr int64_t factor_bytes = has_groups ? groups_in_32 * pair * block_columns : 0;
  static constexpr int64_t block_bytes = factor_bytes + code_bytes;
  static constexpr int64_t unit_bytes = scale_bytes + unit / block_k * block_bytes;

  // Where in a unit they stand.
  static constexpr int64_t codes_at(int64_t block) {
    return scale_bytes + block * block_bytes + factor_bytes;
  }
  static constexpr int64_t factors_at(int64_t group) {
    return scale_bytes + group / groups_in_32 * block_bytes + group % groups_in_32 * pair * block_columns;
  }
};

// Rows of x rounded to int8, every 32 numbers with a scale of their own. strides: from row to row.
struct RoundedRows {
  const int8_t* codes;    // [rows, k]
  const float* scales;    // [rows, k / 32]
  const float* sums;      // [rows, k / 32]: scale * sum of the codes
  const int32_t* starts;  // [rows, k / group]: -middle * sum of the codes of a group
  int64_t k, group;

  RoundedRows from(int64_t row, int64_t at) const {
    return {codes + row * k + at,
            scales + (row * k + at) / block_k,
            sums + (row * k + at) / block_k,
            starts + (row * k + at) / group,
            k,
            group};
  }
};

// y [rows, 16] = or += x B for some columns and `units` units.
using BlockTile = void (*)(const RoundedRows& x, const std::byte* panel, int64_t units, float* y,
                           int64_t y_stride, bool accumulate);

// Tiles of so many rows exist; more rows are cut into these.
inline constexpr int64_t block_tile_rows[] = {12, 8, 4, 2, 1};
inline constexpr int block_tile_count = 5;
struct BlockKernels {
  BlockTile tiles[block_tile_count];
};

// The kernels of one format; null where the CPU lacks the instructions or set_isa() forbids them.
const BlockKernels* block_kernels_vnni(Dtype type);
const BlockKernels* block_kernels_avx2(Dtype type);
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
