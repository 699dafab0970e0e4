// Products with blocks of few bits on ARM CPUs with SDOT: one instruction adds four products of bytes to each
// of four sums.
#include <hwy/base.h>

#include "kernels/cpu/block_layout.h"
#include "kernels/cpu/cpu_features.h"

#if AVIARY_COMPILES_SDOT
#include <arm_neon.h>

#define AVIARY_SDOT __attribute__((target("arch=armv8.2-a+dotprod"), always_inline))
#define AVIARY_SDOT_ENTRY __attribute__((target("arch=armv8.2-a+dotprod")))

namespace aviary::kernels {
namespace {

constexpr int64_t quarters = 4;  // of the 16 columns: the sums of one are a vector

AVIARY_SDOT inline uint8x16_t load(const std::byte* at) {
  return vld1q_u8(reinterpret_cast<const uint8_t*>(at));
}

// The codes of 32 rows of B in four columns, as bytes with a sign: those of 8 bits less 128.
template <int bits>
AVIARY_SDOT inline void unpack(const std::byte* at, int64_t quarter, uint8x16_t (&codes)[block_steps]) {
  at += quarter * 16;
  if constexpr (bits == 8) {
    for (int s = 0; s < block_steps; ++s) codes[s] = veorq_u8(load(at + s * 64), vdupq_n_u8(128));
    return;
  }
  for (int i = 0; i < 4; ++i) {
    const uint8x16_t both = load(at + i * 64);
    codes[2 * i] = vandq_u8(both, vdupq_n_u8(15));
    codes[2 * i + 1] = vshrq_n_u8(both, 4);
  }
  if constexpr (bits == 5) {
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ull));
    const std::byte* masks = at + 256 - quarter * 14;  // two bytes of a mask are a quarter
    for (int s = 0; s < block_steps; ++s) {
      const uint8x16_t mask = vcombine_u8(vdup_n_u8(static_cast<uint8_t>(masks[s * 8])),
                                          vdup_n_u8(static_cast<uint8_t>(masks[s * 8 + 1])));
      codes[s] = vorrq_u8(codes[s], vandq_u8(vtstq_u8(mask, bit), vdupq_n_u8(16)));
    }
  }
  if constexpr (bits == 6) {
    const uint8x16_t high = vdupq_n_u8(48);
    for (int v = 0; v < 2; ++v) {
      const uint8x16_t four = load(at + 256 + v * 64);
      codes[4 * v] = vorrq_u8(codes[4 * v], vandq_u8(vshlq_n_u8(four, 4), high));
      codes[4 * v + 1] = vorrq_u8(codes[4 * v + 1], vandq_u8(vshlq_n_u8(four, 2), high));
      codes[4 * v + 2] = vorrq_u8(codes[4 * v + 2], vandq_u8(four, high));
      codes[4 * v + 3] = vorrq_u8(codes[4 * v + 3], vandq_u8(vshrq_n_u8(four, 2), high));
    }
  }
}

// Four halves, and four bytes as 16 bits.
AVIARY_SDOT inline float32x4_t halves(const std::byte* at) {
  return vcvt_f32_f16(vld1_f16(reinterpret_cast<const float16_t*>(at)));
}
AVIARY_SDOT inline uint8x8_t four_bytes(const std::byte* at) {
  uint32_t four;
  __builtin_memcpy(&four, at, 4);
  return vreinterpret_u8_u32(vdup_n_u32(four));
}

template <class Layout>
AVIARY_SDOT inline float32x4_t scale_of(const std::byte* unit, int64_t group, int64_t quarter) {
  const float32x4_t scale = halves(unit + quarter * 8);
  if constexpr (!Layout::has_groups) return scale;
  const std::byte* at = unit + Layout::group_scales_at + group * Layout::pair * block_columns + quarter * 4;
  const int16x8_t factors = vmovl_s8(vreinterpret_s8_u8(four_bytes(at)));
  return vmulq_f32(scale, vcvtq_f32_s32(vmovl_s16(vget_low_s16(factors))));
}
template <class Layout>
AVIARY_SDOT inline float32x4_t offset_of(const std::byte* unit, int64_t group, int64_t quarter) {
  const float32x4_t offset = halves(unit + 2 * block_columns + quarter * 8);
  if constexpr (!Layout::has_groups) return offset;
  const std::byte* at =
      unit + Layout::group_scales_at + (group * Layout::pair + 1) * block_columns + quarter * 4;
  const uint16x8_t factors = vmovl_u8(four_bytes(at));
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

// Adds the products of 32 rows of B in four columns.
template <class Layout, int rows>
AVIARY_SDOT inline void add_block(const RoundedRows& x, const std::byte* unit, int64_t block_in_unit,
                                  int64_t quarter, float32x4_t (&sum)[rows][quarters]) {
  constexpr int steps = static_cast<int>(block_steps / Layout::groups_in_32);
  uint8x16_t codes[block_steps];
  unpack<Layout::bits>(unit + Layout::unit_scales + block_in_unit * Layout::code_bytes, quarter, codes);
  HWY_UNROLL(2)
  for (int64_t g = 0; g < Layout::groups_in_32; ++g) {
    const float32x4_t scale = scale_of<Layout>(unit, block_in_unit * Layout::groups_in_32 + g, quarter);
    HWY_UNROLL(12)
    for (int r = 0; r < rows; ++r) {
      const int32x4_t whole = dot<Layout::bits, steps>(codes + g * steps, x.codes + r * x.k + g * steps * 4,
                                                       x.starts[r * (x.k / x.group) + g]);
      const float32x4_t step = vmulq_n_f32(scale, x.scales[r * (x.k / block_k)]);
      sum[r][quarter] = vfmaq_f32(sum[r][quarter], vcvtq_f32_s32(whole), step);
    }
  }
  if constexpr (Layout::has_offset) {
    const float32x4_t offset = offset_of<Layout>(unit, block_in_unit, quarter);
    HWY_UNROLL(12)
    for (int r = 0; r < rows; ++r)
      sum[r][quarter] = vfmaq_n_f32(sum[r][quarter], offset, x.sums[r * (x.k / block_k)]);
  }
}

template <class Layout, int rows>
AVIARY_SDOT_ENTRY void tile(const RoundedRows& x, const std::byte* panel, int64_t units, float* y,
                            int64_t y_stride, bool accumulate) {
  constexpr int64_t blocks = Layout::unit / block_k;
  float32x4_t sum[rows][quarters];
  for (int r = 0; r < rows; ++r)
    for (int64_t q = 0; q < quarters; ++q)
      sum[r][q] = accumulate ? vld1q_f32(y + r * y_stride + q * 4) : vdupq_n_f32(0);
  for (int64_t block = 0; block < units * blocks; ++block) {
    const std::byte* unit = panel + block / blocks * Layout::unit_bytes;
    const RoundedRows from = x.from(0, block * block_k);
    HWY_UNROLL(4)
    for (int64_t q = 0; q < quarters; ++q) add_block<Layout>(from, unit, block % blocks, q, sum);
  }
  for (int r = 0; r < rows; ++r)
    for (int64_t q = 0; q < quarters; ++q) vst1q_f32(y + r * y_stride + q * 4, sum[r][q]);
}

}  // namespace

const BlockKernels* block_kernels_sdot(Dtype type) {
  if (!has_int8_dot_products()) return nullptr;
  return with_layout(type, []<class Layout>(Layout) {
    static constexpr BlockKernels kernels{
        {tile<Layout, 12>, tile<Layout, 8>, tile<Layout, 4>, tile<Layout, 2>, tile<Layout, 1>}};
    return &kernels;
  });
}

}  // namespace aviary::kernels
#else
namespace aviary::kernels {
const BlockKernels* block_kernels_sdot(Dtype) { return nullptr; }
}  // namespace aviary::kernels
#endif
