// Products with block formats on CPUs with AVX2: sums of pairs of byte products are accumulated in 16 bits,
// for as many steps as cannot overflow; the smaller the codes, the more.
#include <hwy/base.h>

#include "kernels/cpu/block_layout.h"
#include "kernels/cpu/cpu_features.h"

#if HWY_ARCH_X86
#include <immintrin.h>

namespace aviary::kernels {
namespace {

#include "kernels/cpu/block_avx2-inl.h"

// Sums of pairs.
AVIARY_AVX2 inline __m256i wide(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

// A sum of codes times x, to which two steps at a time are added. end(): after so many steps.
template <int bits>
constexpr int together = 32767 / (2 * ((1 << bits) - 1) * 127);  // steps whose sum fits into 16 bits
template <int bits>
constexpr bool pairs_fit = together<bits> == block_steps;
template <int bits>
struct Dot {
  __m256i sum, pairs;

  AVIARY_AVX2 void begin(__m256i start) { sum = start, pairs = start; }
  AVIARY_AVX2 void add(int step, const Pair& codes, __m256i even, __m256i odd) {
    const __m256i both =
        _mm256_add_epi16(_mm256_maddubs_epi16(codes.even, even), _mm256_maddubs_epi16(codes.odd, odd));
    pairs = step % together<bits> == 0 ? both : _mm256_add_epi16(pairs, both);
    if ((step + 2) % together<bits> == 0) sum = _mm256_add_epi32(sum, wide(pairs));
  }
  AVIARY_AVX2 void end(int steps) {
    if (steps % together<bits> != 0) sum = _mm256_add_epi32(sum, wide(pairs));
  }
};
// |code - 128| times x with the sign of code - 128: a pair is at most 2 * 127 * 128.
AVIARY_AVX2 inline __m256i centered(__m256i code) { return _mm256_xor_si256(code, _mm256_set1_epi8(-128)); }
AVIARY_AVX2 inline __m256i product(__m256i magnitude, __m256i code, __m256i x) {
  return wide(_mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, code)));
}
template <>
struct Dot<8> {
  __m256i sum;

  AVIARY_AVX2 void begin(__m256i) { sum = _mm256_setzero_si256(); }
  AVIARY_AVX2 void add(int, const Pair& codes, __m256i even, __m256i odd) {
    const __m256i c0 = centered(codes.even), c1 = centered(codes.odd);
    sum = _mm256_add_epi32(sum, product(_mm256_abs_epi8(c0), c0, even));
    sum = _mm256_add_epi32(sum, product(_mm256_abs_epi8(c1), c1, odd));
  }
  AVIARY_AVX2 void end(int) {}
};

#define AVIARY_TILE __attribute__((target("avx2,fma,f16c")))
#include "kernels/cpu/block_tile-inl.h"

// As tile(), for codes of 8 bits: those of four steps and their magnitudes fill the registers.
template <int64_t rows>
AVIARY_TILE void byte_tile(const RoundedRows& x, const std::byte* panel, int64_t units, float* y,
                           int64_t y_stride, bool accumulate, const std::byte* ahead, int64_t ahead_lines) {
  using Layout = BlockLayout<Dtype::q8_0>;
  constexpr int half = block_steps / 2;
  __m256 sum[vectors][rows];
  for (int v = 0; v < vectors; ++v)
    for (int r = 0; r < rows; ++r) sum[v][r] = accumulate ? load(y + r * y_stride + v * lanes) : all(0);
  const RoundedBlock* of_x = x.blocks;
  for (int64_t u = 0; u < units; ++u, panel += Layout::unit_bytes, ++of_x) {
    for (int64_t i = 0; i < ahead_lines; ++i, ahead += line_bytes) __builtin_prefetch(ahead, 0, 2);
    for (int v = 0; v < vectors; ++v) {
      const __m256 scale = scale_of<Layout>(panel, 0, v);
      __m256i part[rows];
      for (int first = 0; first < block_steps; first += half) {
        __m256i codes[half], magnitudes[half];
        HWY_UNROLL(4)
        for (int s = 0; s < half; ++s) {
          codes[s] = centered(load(panel + Layout::codes_at(0) + (first + s) * step_bytes + v * 32));
          magnitudes[s] = _mm256_abs_epi8(codes[s]);
        }
        const RoundedBlock* row = of_x;
        HWY_UNROLL(1)
        for (int64_t r = 0; r < rows; ++r, row += x.row_blocks) {
          __m256i dots = product(magnitudes[0], codes[0], four_codes(row->codes + 4 * first));
          HWY_UNROLL(4)
          for (int s = 1; s < half; ++s)
            dots = _mm256_add_epi32(
                dots, product(magnitudes[s], codes[s], four_codes(row->codes + 4 * (first + s))));
          if (first == 0)
            part[r] = dots;
          else
            sum[v][r] =
                multiply_add(floats(_mm256_add_epi32(part[r], dots)), multiply(scale, row->scale), sum[v][r]);
        }
      }
    }
  }
  for (int v = 0; v < vectors; ++v)
    for (int r = 0; r < rows; ++r) store(sum[v][r], y + r * y_stride + v * lanes);
}

struct TileOf {
  template <class Layout, int64_t rows>
  constexpr BlockTile operator()() const {
    if constexpr (Layout::bits == 8)
      return byte_tile<rows>;
    else
      return tile<Layout, rows>;
  }
};

}  // namespace

const BlockKernels* block_kernels_avx2(Dtype type) {
  return has_avx2() ? kernels_of(type, TileOf()) : nullptr;
}

}  // namespace aviary::kernels
#else
namespace aviary::kernels {
const BlockKernels* block_kernels_avx2(Dtype) { return nullptr; }
}  // namespace aviary::kernels
#endif
