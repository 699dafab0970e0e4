// Products with block formats on ARM CPUs with SDOT: one instruction adds four products of bytes to each of
// four sums.
#include <hwy/base.h>

#include "kernels/cpu/block_layout.h"
#include "kernels/cpu/cpu_features.h"

#if AVIARY_COMPILES_SDOT
#include <arm_neon.h>

#define AVIARY_SDOT __attribute__((target("arch=armv8.2-a+dotprod"), always_inline))
#define AVIARY_SDOT_ENTRY __attribute__((target("arch=armv8.2-a+dotprod")))

namespace aviary::kernels {
namespace {

constexpr int64_t lanes = 4;
constexpr int vectors = 8;  // of a panel

AVIARY_SDOT inline uint8x16_t load(const std::byte* at) {
  return vld1q_u8(reinterpret_cast<const uint8_t*>(at));
}

// The codes of 32 rows of B in the columns of a vector, as signed bytes; 128 is subtracted from codes of 8
// bits.
template <class Layout>
AVIARY_SDOT inline void unpack(const std::byte* at, int v, uint8x16_t (&codes)[block_steps]) {
  if constexpr (Layout::bits == 8) {
    for (int s = 0; s < block_steps; ++s)
      codes[s] = veorq_u8(load(at + s * step_bytes + v * 16), vdupq_n_u8(128));
    return;
  }
  for (int s = 0; s < block_steps; s += 2) {
    const uint8x16_t both = load(at + Layout::step_at(s) + v * 16);
    codes[s] = vandq_u8(both, vdupq_n_u8(15));
    codes[s + 1] = vshrq_n_u8(both, 4);
  }
  if constexpr (Layout::bits > 4)
    for (int s = 0; s < block_steps; ++s) {
      const uint8x16_t high = load(at + Layout::high_at(s) + v * 16);
      const uint8x16_t placed = vshlq_u8(high, vdupq_n_s8(static_cast<int8_t>(4 - Layout::high_shift(s))));
      codes[s] = vorrq_u8(codes[s], vandq_u8(placed, vdupq_n_u8(Layout::bits == 5 ? 16 : 48)));
    }
}

// Loads four f16; loads four bytes as 16-bit integers.
AVIARY_SDOT inline float32x4_t halves(const std::byte* at) {
  return vcvt_f32_f16(vld1_f16(reinterpret_cast<const float16_t*>(at)));
}
AVIARY_SDOT inline uint8x8_t four_bytes(const std::byte* at) {
  uint32_t four;
  __builtin_memcpy(&four, at, 4);
  return vreinterpret_u8_u32(vdup_n_u32(four));
}

template <class Layout>
AVIARY_SDOT inline float32x4_t scale_of(const std::byte* unit, int64_t group, int v) {
  const float32x4_t scale = halves(unit + v * 2 * lanes);
  if constexpr (!Layout::has_groups) return scale;
  const int16x8_t factors =
      vmovl_s8(vreinterpret_s8_u8(four_bytes(unit + Layout::factors_at(group) + v * lanes)));
  return vmulq_f32(scale, vcvtq_f32_s32(vmovl_s16(vget_low_s16(factors))));
}
template <class Layout>
AVIARY_SDOT inline float32x4_t offset_of(const std::byte* unit, int64_t group, int v) {
  const float32x4_t offset = halves(unit + 2 * block_columns + v * 2 * lanes);
  if constexpr (!Layout::has_groups) return offset;
  const uint16x8_t factors =
      vmovl_u8(four_bytes(unit + Layout::factors_at(group) + block_columns + v * lanes));
  return vmulq_f32(offset, vcvtq_f32_u32(vmovl_u16(vget_low_u16(factors))));
}

// start + the sum over some steps of the codes times x.
template <int bits, int steps>
AVIARY_SDOT inline int32x4_t dot(const uint8x16_t* codes, const int8_t* x, int32_t start) {
  int32x4_t sum = vdupq_n_s32(bits == 8 ? 0 : start);
  for (int s = 0; s < steps; s += 4) {
    const int8x16_t four = vld1q_s8(x + 4 * s);
    sum = vdotq_laneq_s32(sum, vreinterpretq_s8_u8(codes[s]), four, 0);
    sum = vdotq_laneq_s32(sum, vreinterpretq_s8_u8(codes[s + 1]), four, 1);
    sum = vdotq_laneq_s32(sum, vreinterpretq_s8_u8(codes[s + 2]), four, 2);
    sum = vdotq_laneq_s32(sum, vreinterpretq_s8_u8(codes[s + 3]), four, 3);
  }
  return sum;
}

AVIARY_SDOT inline float32x4_t load(const float* from) { return vld1q_f32(from); }
AVIARY_SDOT inline void store(float32x4_t x, float* to) { vst1q_f32(to, x); }
AVIARY_SDOT inline float32x4_t all(float x) { return vdupq_n_f32(x); }
AVIARY_SDOT inline float32x4_t floats(int32x4_t x) { return vcvtq_f32_s32(x); }
AVIARY_SDOT inline float32x4_t multiply(float32x4_t x, float y) { return vmulq_n_f32(x, y); }
AVIARY_SDOT inline float32x4_t multiply_add(float32x4_t x, float32x4_t y, float32x4_t sum) {
  return vfmaq_f32(sum, x, y);
}

using Floats = float32x4_t;
using Codes = uint8x16_t;

// The codes of a vector's columns are unpacked, then multiplied with one row after another.
template <class Layout, int64_t rows>
AVIARY_SDOT_ENTRY void tile(const RoundedRows& x, const std::byte* panel, int64_t units, float* y,
                            int64_t y_stride, bool accumulate, const std::byte* ahead, int64_t ahead_lines) {
  constexpr int64_t blocks = Layout::unit / block_k, groups = Layout::groups_in_32;
  constexpr int steps = static_cast<int>(block_steps / groups);
  Floats sum[vectors][rows];
  for (int v = 0; v < vectors; ++v)
    for (int r = 0; r < rows; ++r) sum[v][r] = accumulate ? load(y + r * y_stride + v * lanes) : all(0);
  const RoundedBlock* of_x = x.blocks;
  for (int64_t u = 0; u < units; ++u, panel += Layout::unit_bytes)
    for (int64_t b = 0; b < blocks; ++b, ++of_x) {
      if constexpr (rows > 1)
        for (int64_t i = 0; i < ahead_lines; ++i, ahead += line_bytes) __builtin_prefetch(ahead, 0, 2);
      for (int v = 0; v < vectors; ++v) {
        Codes codes[block_steps];
        unpack<Layout>(panel + Layout::codes_at(b), v, codes);
        Floats scale[groups], offset = all(0);
        HWY_UNROLL(2)
        for (int64_t g = 0; g < groups; ++g) scale[g] = scale_of<Layout>(panel, b * groups + g, v);
        if constexpr (Layout::has_offset) offset = offset_of<Layout>(panel, b, v);
        const RoundedBlock* row = of_x;
        HWY_UNROLL(1)
        for (int64_t r = 0; r < rows; ++r, row += x.row_blocks) {
          Floats of_row = sum[v][r];
          HWY_UNROLL(2)
          for (int64_t g = 0; g < groups; ++g) {
            const auto whole =
                dot<Layout::bits, steps>(codes + g * steps, row->codes + g * steps * 4, row->starts[g]);
            of_row = multiply_add(floats(whole), multiply(scale[g], row->scale), of_row);
          }
          if constexpr (Layout::has_offset) of_row = multiply_add(offset, all(row->sum), of_row);
          sum[v][r] = of_row;
        }
      }
    }
  for (int v = 0; v < vectors; ++v)
    for (int r = 0; r < rows; ++r) store(sum[v][r], y + r * y_stride + v * lanes);
}

}  // namespace

const BlockKernels* block_kernels_sdot(Dtype type) {
  if (!has_int8_dot_products()) return nullptr;
  return with_layout(type, []<class Layout>(Layout) {
    static constexpr BlockKernels kernels =
        make_block_kernels<12>([]<int64_t rows>() { return tile<Layout, rows>; });
    return &kernels;
  });
}

}  // namespace aviary::kernels
#else
namespace aviary::kernels {
const BlockKernels* block_kernels_sdot(Dtype) { return nullptr; }
}  // namespace aviary::kernels
#endif
