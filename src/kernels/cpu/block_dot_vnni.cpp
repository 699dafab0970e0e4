// Products with block formats on CPUs with AVX512_VNNI: one instruction adds four products of bytes to each
// of sixteen sums.
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

constexpr int64_t lanes = 16;
constexpr int vectors = 2;  // of a panel

// The codes of a step in the columns of a vector, as bytes. at: the codes of 32 rows of B.
template <class Layout>
AVIARY_VNNI inline __m512i codes_of(const std::byte* at, int64_t step, int v) {
  if constexpr (Layout::bits == 8) return load(at + step * step_bytes + v * 64);
  const __m512i both = load(at + Layout::step_at(step) + v * 64);
  const __m512i codes = _mm512_and_si512(step % 2 ? _mm512_srli_epi16(both, 4) : both, _mm512_set1_epi8(15));
  if constexpr (Layout::bits == 4) return codes;
  const __m512i high = load(at + Layout::high_at(step) + v * 64);
  const int shift = 4 - Layout::high_shift(step);
  const __m512i placed = shift > 0   ? _mm512_slli_epi16(high, static_cast<unsigned>(shift))
                         : shift < 0 ? _mm512_srli_epi16(high, static_cast<unsigned>(-shift))
                                     : high;
  constexpr int or_and = 0xf8;  // codes | (placed & the bits)
  return _mm512_ternarylogic_epi32(codes, placed, _mm512_set1_epi8(Layout::bits == 5 ? 16 : 48), or_and);
}

// The masked intrinsics with all lanes set: g++ 12 warns about uninitialized values in the unmasked ones.
constexpr __mmask16 all = 0xffff;

AVIARY_VNNI inline __m512 halves(const std::byte* at) {
  return _mm512_maskz_cvtph_ps(all, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}
AVIARY_VNNI inline __m512 floats(__m512i x) { return _mm512_maskz_cvtepi32_ps(all, x); }
AVIARY_VNNI inline __m128i bytes(const std::byte* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

// Scale and offset of a group, for the columns of a vector.
template <class Layout>
AVIARY_VNNI inline __m512 scale_of(const std::byte* unit, int64_t group, int v) {
  const __m512 scale = halves(unit + v * 2 * lanes);
  if constexpr (!Layout::has_groups) return scale;
  const __m128i factors = bytes(unit + Layout::factors_at(group) + v * lanes);
  return _mm512_mul_ps(scale, floats(_mm512_maskz_cvtepi8_epi32(all, factors)));
}
template <class Layout>
AVIARY_VNNI inline __m512 offset_of(const std::byte* unit, int64_t group, int v) {
  const __m512 offset = halves(unit + 2 * block_columns + v * 2 * lanes);
  if constexpr (!Layout::has_groups) return offset;
  const __m128i factors = bytes(unit + Layout::factors_at(group) + block_columns + v * lanes);
  return _mm512_mul_ps(offset, floats(_mm512_maskz_cvtepu8_epi32(all, factors)));
}

AVIARY_VNNI inline __m512i four_codes(const int8_t* at) {
  int32_t four;
  __builtin_memcpy(&four, at, 4);
  return _mm512_set1_epi32(four);
}

// For each step, four bytes of a row of x are multiplied with the codes of both vectors, and each loaded code
// with all rows.
template <class Layout, int64_t rows>
AVIARY_VNNI_ENTRY void tile(const RoundedRows& x, const std::byte* panel, int64_t units, float* y,
                            int64_t y_stride, bool accumulate, const std::byte* ahead, int64_t ahead_lines) {
  constexpr int64_t blocks = Layout::unit / block_k, groups = Layout::groups_in_32;
  constexpr int64_t steps = block_steps / groups;
  __m512 sum[rows][vectors];
  HWY_UNROLL(6)
  for (int r = 0; r < rows; ++r) {
    HWY_UNROLL(2)
    for (int v = 0; v < vectors; ++v)
      sum[r][v] = accumulate ? _mm512_loadu_ps(y + r * y_stride + v * lanes) : _mm512_setzero_ps();
  }
  const RoundedBlock* of_x = x.blocks;
  for (int64_t u = 0; u < units; ++u, panel += Layout::unit_bytes) {
    for (int64_t b = 0; b < blocks; ++b, ++of_x) {
      if constexpr (rows > 1) {
        for (int64_t i = 0; i < ahead_lines; ++i, ahead += line_bytes) _mm_prefetch(ahead, _MM_HINT_T1);
      } else {
        prefetch_row<Layout>(panel + Layout::codes_at(b));
      }
      HWY_UNROLL(2)
      for (int64_t g = 0; g < groups; ++g) {
        __m512i dot[rows][vectors];
        HWY_UNROLL(6)
        for (int r = 0; r < rows; ++r) {
          HWY_UNROLL(2)
          for (int v = 0; v < vectors; ++v) dot[r][v] = _mm512_set1_epi32(of_x[r * x.row_blocks].starts[g]);
        }
        HWY_UNROLL(8)
        for (int64_t s = 0; s < steps; ++s) {
          __m512i factors[vectors];
          HWY_UNROLL(2)
          for (int v = 0; v < vectors; ++v)
            factors[v] = codes_of<Layout>(panel + Layout::codes_at(b), g * steps + s, v);
          HWY_UNROLL(6)
          for (int r = 0; r < rows; ++r) {
            const __m512i four = four_codes(of_x[r * x.row_blocks].codes + 4 * (g * steps + s));
            HWY_UNROLL(2)
            for (int v = 0; v < vectors; ++v) dot[r][v] = _mm512_dpbusd_epi32(dot[r][v], factors[v], four);
          }
        }
        HWY_UNROLL(2)
        for (int v = 0; v < vectors; ++v) {
          const __m512 scale = scale_of<Layout>(panel, b * groups + g, v);
          HWY_UNROLL(6)
          for (int r = 0; r < rows; ++r) {
            const __m512 step = _mm512_mul_ps(scale, _mm512_set1_ps(of_x[r * x.row_blocks].scale));
            sum[r][v] = _mm512_fmadd_ps(floats(dot[r][v]), step, sum[r][v]);
          }
        }
      }
      if constexpr (Layout::has_offset) {
        HWY_UNROLL(2)
        for (int v = 0; v < vectors; ++v) {
          const __m512 offset = offset_of<Layout>(panel, b, v);
          HWY_UNROLL(6)
          for (int r = 0; r < rows; ++r)
            sum[r][v] = _mm512_fmadd_ps(offset, _mm512_set1_ps(of_x[r * x.row_blocks].sum), sum[r][v]);
        }
      }
    }
  }
  HWY_UNROLL(6)
  for (int r = 0; r < rows; ++r) {
    HWY_UNROLL(2)
    for (int v = 0; v < vectors; ++v) _mm512_storeu_ps(y + r * y_stride + v * lanes, sum[r][v]);
  }
}

}  // namespace

const BlockKernels* block_kernels_vnni(Dtype type) {
  if (!has_int8_dot_products()) return nullptr;
  return with_layout(type, []<class Layout>(Layout) {
    static constexpr BlockKernels kernels =
        make_block_kernels<6>([]<int64_t rows>() { return tile<Layout, rows>; });
    return &kernels;
  });
}

}  // namespace aviary::kernels
#else
namespace aviary::kernels {
const BlockKernels* block_kernels_vnni(Dtype) { return nullptr; }
}  // namespace aviary::kernels
#endif
