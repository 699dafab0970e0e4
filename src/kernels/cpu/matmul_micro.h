// The innermost loops of the matrix product: a tile of C, up to six rows by a few panels, in registers.
#pragma once

#include <cstdint>

namespace aviary::kernels {

// Rows of the tallest tile.
inline constexpr int64_t tile_rows = 6;
// Panels of the widest tile.
inline constexpr int64_t tile_panels = 4;
// Steps along the summed dimension per block: enough that reading and writing C costs little. Even.
inline constexpr int64_t k_block = 512;
// Distance of two rows of A in a packed block, padded so that rows do not share cache sets.
inline constexpr int64_t a_row_stride = k_block + 16;

// Number of panels that a tile with `rows` rows can cover, limited by the registers.
constexpr int64_t widest_tile(int64_t rows) { return rows == 1 ? 1 : rows <= 3 ? 2 : 1; }
// Columns of a panel of 16-bit numbers: enough for four sums or more of one row that do not wait for each
// other. Tiles are as wide as a panel of f32, of which `narrow_width / panel_width` lie side by side.
inline constexpr int64_t narrow_width = 32;

// C [rows, panels * panel_width] = A B, or += when `accumulate`, over k steps, more than k_block for one row
// only. Every element has one accumulator, to which the products are added in order. `ahead`: the part of B
// that is needed next, prefetched meanwhile, one cache line per step; for one row, what lies row_ahead()
// bytes further in the panel is prefetched instead.
using TileFunction = void (*)(const float* a, const void* b, int64_t panel_bytes, int64_t k, float* c,
                              int64_t c_stride, bool accumulate, const void* ahead);
// Bytes of a cache line.
inline constexpr int64_t line_bytes = 64;
// How far ahead of a product of one row memory is prefetched, in bytes, on this CPU. Measured with one core,
// as a share of what it can read at all: on CPUs with AVX-512 (Zen 4 and 5) all of it from 4 to 12 KiB, with
// 1 KiB or without 50 to 80 %; on one without (Zen 3) 88 to 95 % with 1.5 KiB, 80 to 87 % with 8 KiB, 62 to
// 78 % without.
inline constexpr int64_t row_ahead_avx512 = 8192;
int64_t row_ahead();

// The kernels of one instruction set. A panel in f32 holds panel_width columns of B, [K, panel_width]; in
// bf16 narrow_width, [ceil(K / 2), narrow_width, 2], an odd K followed by a zero; in f16 [K, narrow_width].
// tiles[rows - 1][panels - 1] is null beyond widest_tile(), but for one row and 16-bit numbers there is one
// for all columns of a panel, or for tile_panels parts of it if it has more.
struct MicroKernels {
  int64_t panel_width;
  TileFunction f32[tile_rows][tile_panels];   // A in rows, a_row_stride apart
  TileFunction bf16[tile_rows][tile_panels];  // the same with B in bf16
  TileFunction f16[tile_rows][tile_panels];   // the same with B in f16
  TileFunction transposed[tile_rows];         // one panel, A as [K, rows]
  // y[i] = x[i] rounded to bf16.
  void (*round)(const float* x, int64_t count, float* y);
  // Packs a panel of k rows of B, which are b_stride apart in memory; rounded to bf16 if requested.
  void (*copy_panel)(const float* b, int64_t b_stride, int64_t k, bool rounded, float* panel);
  // k rows of panel_width columns of a bf16 panel as f32.
  void (*widen)(const void* panel, int64_t k, float* wide);
  void (*widen_f16)(const void* panel, int64_t k, float* wide);
};

// Kernels for CPUs that multiply pairs of bf16. A step is two of K; A comes in pairs, as B does in bf16.
struct DotKernels {
  TileFunction tiles[tile_rows][tile_panels];  // A in rows, a_row_stride pairs apart
  TileFunction transposed[tile_rows];          // one panel, A as [steps, rows]
  // Rounds a row to pairs; an odd count is followed by a zero.
  void (*pair_columns)(const float* x, int64_t count, float* pairs);
  // Rounds two rows to pairs (x0[i], x1[i]). A null x1 is a row of zeros.
  void (*pair_rows)(const float* x0, const float* x1, int64_t count, float* pairs);
  // C [rows, columns] += A^T B with 8 or 16 rows and at most 16 columns: A in pairs of steps [ceil(depth /
  // 2), rows], B [depth, columns] as it is.
  void (*thin[2])(const float* a, const float* b, int64_t b_stride, int64_t depth, int64_t columns, float* c,
                  int64_t c_stride);
};
// Null if the CPU has no such instructions or set_isa() forbids them. Requires panels of 32 columns.
const DotKernels* dot_kernels();

// The kernels of the best instruction set allowed by set_isa().
const MicroKernels& micro_kernels();

}  // namespace aviary::kernels
