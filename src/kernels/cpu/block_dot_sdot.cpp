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

constexpr int64_t lanes = 4;
constexpr int vectors = 8;  // of a panel

AVIARY_SDOT inline uint8x16_t load(const std::byte* at) {
  return vld1q_u8(reinterpret_cast<const uint8_t*>(at));
}

// The codes of 32 rows of B in the columns of a vector, as bytes with a sign: those of 8 bits less 128.
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
  if constexpr (Layout::bits == 5) {
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ull));
    for (int s = 0; s < block_steps; ++s) {  // two bytes of a mask are a vector's
      const std::byte* own = at + Layout::high_at(s) + (s % 4 * vectors + v) * 2;
      const uint8x16_t mask =
          vcombine_u8(vdup_n_u8(static_cast<uint8_t>(own[0])), vdup_n_u8(static_cast<uint8_t>(own[1])));
      codes[s] = vorrq_u8(codes[s], vandq_u8(vtstq_u8(mask, bit), vdupq_n_u8(16)));
    }
  }
  if constexpr (Layout::bits == 6) {
    const uint8x16_t high = vdupq_n_u8(48);
    for (int s = 0; s < block_steps; s += 4) {
      const uint8x16_t four = load(at + Layout::high_at(s) + v * 16);
      codes[s] = vorrq_u8(codes[s], vandq_u8(vshlq_n_u8(four, 4), high));
      codes[s + 1] = vorrq_u8(codes[s + 1], vandq_u8(vshlq_n_u8(four, 2), high));
      codes[s + 2] = vorrq_u8(codes[s + 2], vandq_u8(four, high));
      codes[s + 3] = vorrq_u8(codes[s + 3], vandq_u8(vshrq_n_u8(four, 2), high));
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

template <class Layout, int64_t rows>
AVIARY_SDOT_ENTRY void tile(const RoundedRows& x, const std::byte* panel, int64_t units, float* y,
                            int64_t y_stride, bool accumulate, const std::byte* ahead, int64_t ahead_lines) {
  constexpr int64_t blocks = Layout::unit / block_k, groups = Layout::groups_in_32;
  constexpr int steps = static_cast<int>(block_steps / groups);
  float32x4_t sum[vectors][rows];
  for (int v = 0; v < vectors; ++v)
    for (int r = 0; r < rows; ++r)
      sum[v][r] = accumulate ? vld1q_f32(y + r * y_stride + v * lanes) : vdupq_n_f32(0);
  int64_t block = 0;
  for (int64_t u = 0; u < units; ++u, panel += Layout::unit_bytes)
    for (int64_t b = 0; b < blocks; ++b, ++block) {
      if constexpr (rows > 1)
        for (int64_t i = 0; i < ahead_lines; ++i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
      for (int v = 0; v < vectors; ++v) {
        uint8x16_t codes[block_steps];
        unpack<Layout>(panel + Layout::codes_at(b), v, codes);
        HWY_UNROLL(2)
        for (int64_t g = 0; g < groups; ++g) {
          const float32x4_t scale = scale_of<Layout>(panel, b * groups + g, v);
          for (int r = 0; r < rows; ++r) {
            const int32x4_t whole = dot<Layout::bits, steps>(
                codes + g * steps, x.codes + r * x.k + block * block_k + g * steps * 4,
                x.starts[r * (x.k / x.group) + block * groups + g]);
            const float32x4_t step = vmulq_n_f32(scale, x.scales[r * (x.k / block_k) + block]);
            sum[v][r] = vfmaq_f32(sum[v][r], vcvtq_f32_s32(whole), step);
          }
        }
        if constexpr (Layout::has_offset) {
          const float32x4_t offset = offset_of<Layout>(panel, b, v);
          for (int r = 0; r < rows; ++r)
            sum[v][r] = vfmaq_n_f32(sum[v][r], offset, x.sums[r * (x.k / block_k) + block]);
        }
      }
    }
  for (int v = 0; v < vectors; ++v)
    for (int r = 0; r < rows; ++r) vst1q_f32(y + r * y_stride + v * lanes, sum[v][r]);
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
