// Products with blocks of few bits on CPUs with AVX512_VNNI: one instruction adds four products of bytes to
// each of sixteen sums.
#include <hwy/base.h>

#include "kernels/cpu/block_layout.h"
#include "kernels/cpu/cpu_features.h"

#if HWY_ARCH_X86
#include <immintrin.h>

#define AVIARY_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"), always_inline))
#define AVIARY_VNNI_ENTRY __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))

namespace aviary::kernels {
namespace {

AVIARY_VNNI inline __m512i load(const std::byte* at) { return _mm512_loadu_si512(at); }

// The codes of 32 rows of B, as bytes.
template <int bits>
AVIARY_VNNI inline void unpack(const std::byte* at, __m512i (&codes)[block_steps]) {
  if constexpr (bits == 8) {
    HWY_UNROLL(8)
    for (int s = 0; s < block_steps; ++s) codes[s] = load(at + s * 64);
    return;
  }
  const __m512i low = _mm512_set1_epi8(15);
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) {
    const __m512i both = load(at + i * 64);
    codes[2 * i] = _mm512_and_si512(both, low);
    codes[2 * i + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
  }
  if constexpr (bits == 5) {
    const __m512i sixteen = _mm512_set1_epi8(16);
    const auto* masks = reinterpret_cast<const __mmask64*>(at + 256);
    HWY_UNROLL(8)
    for (int s = 0; s < block_steps; ++s)
      codes[s] =
          _mm512_mask_add_epi8(codes[s], _load_mask64(const_cast<__mmask64*>(masks + s)), codes[s], sixteen);
  }
  if constexpr (bits == 6) {
    const __m512i high = _mm512_set1_epi8(48);
    HWY_UNROLL(2)
    for (int v = 0; v < 2; ++v) {
      const __m512i four = load(at + 256 + v * 64);
      codes[4 * v] = _mm512_or_si512(codes[4 * v], _mm512_and_si512(_mm512_slli_epi16(four, 4), high));
      codes[4 * v + 1] =
          _mm512_or_si512(codes[4 * v + 1], _mm512_and_si512(_mm512_slli_epi16(four, 2), high));
      codes[4 * v + 2] = _mm512_or_si512(codes[4 * v + 2], _mm512_and_si512(four, high));
      codes[4 * v + 3] =
          _mm512_or_si512(codes[4 * v + 3], _mm512_and_si512(_mm512_srli_epi16(four, 2), high));
    }
  }
}

// With masks of all lanes: g++ 12 warns of uninitialized values in the forms without.
constexpr __mmask16 all = 0xffff;

AVIARY_VNNI inline __m512 halves(const std::byte* at) {
  return _mm512_maskz_cvtph_ps(all, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}
AVIARY_VNNI inline __m512 floats(__m512i x) { return _mm512_maskz_cvtepi32_ps(all, x); }
AVIARY_VNNI inline __m128i bytes(const std::byte* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

// What the codes of a unit mean, for its columns.
template <class Layout>
struct Scales {
  __m512 scale, offset;  // of the unit
  const std::byte* unit;

  AVIARY_VNNI explicit Scales(const std::byte* at) : unit(at) {
    scale = halves(at);
    offset = Layout::has_offset ? halves(at + 2 * block_columns) : scale;
  }
  AVIARY_VNNI __m512 scale_of(int64_t group) const {
    if constexpr (!Layout::has_groups) return scale;
    const __m128i factors = bytes(unit + Layout::factors_at(group));
    return _mm512_mul_ps(scale, floats(_mm512_maskz_cvtepi8_epi32(all, factors)));
  }
  AVIARY_VNNI __m512 offset_of(int64_t group) const {
    if constexpr (!Layout::has_groups) return offset;
    const __m128i factors = bytes(unit + Layout::factors_at(group) + block_columns);
    return _mm512_mul_ps(offset, floats(_mm512_maskz_cvtepu8_epi32(all, factors)));
  }
};

AVIARY_VNNI inline __m512i four_codes(const int8_t* at) {
  int32_t four;
  __builtin_memcpy(&four, at, 4);
  return _mm512_set1_epi32(four);
}

// Bytes. Several rows keep so many instructions in flight that few lines are asked for in time: 1.3 to 1.8
// times as fast at 8 rows, 1.1 to 1.5 at 32.
constexpr int64_t prefetch_ahead = 2048;

template <class Layout, int rows>
AVIARY_VNNI_ENTRY void tile(const RoundedRows& x, const std::byte* panel, int64_t units, float* y,
                            int64_t y_stride, bool accumulate) {
  constexpr int64_t blocks = Layout::unit / block_k;
  constexpr int steps = static_cast<int>(block_steps / Layout::groups_in_32);
  __m512 sum[rows];
  HWY_UNROLL(12)
  for (int r = 0; r < rows; ++r)
    sum[r] = accumulate ? _mm512_loadu_ps(y + r * y_stride) : _mm512_setzero_ps();
  int64_t block = 0;
  for (int64_t u = 0; u < units; ++u, panel += Layout::unit_bytes) {
    const Scales<Layout> of_unit(panel);
    for (int64_t b = 0; b < blocks; ++b, ++block) {
      const std::byte* codes = panel + Layout::codes_at(b);
      if constexpr (rows > 1) {  // one row waits for memory in any case
        HWY_UNROLL(8)
        for (int64_t line = 0; line < Layout::code_bytes; line += 64)
          _mm_prefetch(codes + prefetch_ahead + line, _MM_HINT_T0);
      }
      __m512i bytes_of[block_steps];
      unpack<Layout::bits>(codes, bytes_of);
      HWY_UNROLL(2)
      for (int64_t g = 0; g < Layout::groups_in_32; ++g) {
        const __m512 scale = of_unit.scale_of(b * Layout::groups_in_32 + g);
        const int64_t group = block * Layout::groups_in_32 + g;
        HWY_UNROLL(12)
        for (int r = 0; r < rows; ++r) {
          const int8_t* from = x.codes + r * x.k + block * block_k + g * steps * 4;
          __m512i dot = _mm512_set1_epi32(x.starts[r * (x.k / x.group) + group]);
          HWY_UNROLL(8)
          for (int s = 0; s < steps; ++s)
            dot = _mm512_dpbusd_epi32(dot, bytes_of[g * steps + s], four_codes(from + 4 * s));
          const __m512 step = _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[r * (x.k / block_k) + block]));
          sum[r] = _mm512_fmadd_ps(floats(dot), step, sum[r]);
        }
      }
      if constexpr (Layout::has_offset) {
        const __m512 offset = of_unit.offset_of(b);
        HWY_UNROLL(12)
        for (int r = 0; r < rows; ++r)
          sum[r] = _mm512_fmadd_ps(offset, _mm512_set1_ps(x.sums[r * (x.k / block_k) + block]), sum[r]);
      }
    }
  }
  HWY_UNROLL(12)
  for (int r = 0; r < rows; ++r) _mm512_storeu_ps(y + r * y_stride, sum[r]);
}

}  // namespace

const BlockKernels* block_kernels_vnni(Dtype type) {
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
const BlockKernels* block_kernels_vnni(Dtype) { return nullptr; }
}  // namespace aviary::kernels
#endif
