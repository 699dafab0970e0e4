// Products with block formats on CPUs with AVX-512 but without VNNI: sums of pairs of byte products are
// accumulated in 16 bits, for as many steps as cannot overflow.
#include <hwy/base.h>

#include "kernels/cpu/block_layout.h"
#include "kernels/cpu/cpu_features.h"

#if HWY_ARCH_X86
#include <immintrin.h>

namespace aviary::kernels {
namespace {

#include "kernels/cpu/block_avx512-inl.h"

struct Pair {
  __m512i even, odd;
};
template <class Layout>
AVIARY_AVX512 inline Pair pair_of(const std::byte* at, int step, int v) {
  return {codes_of<Layout>(at, step, v), codes_of<Layout>(at, step + 1, v)};
}

AVIARY_AVX512 inline __m512i wide(__m512i pairs, int16_t factor) {
  return _mm512_madd_epi16(pairs, _mm512_set1_epi16(factor));
}
AVIARY_AVX512 inline __m512i products(const Pair& codes, __m512i even, __m512i odd) {
  return _mm512_add_epi16(_mm512_maddubs_epi16(codes.even, even), _mm512_maddubs_epi16(codes.odd, odd));
}

template <int>
constexpr bool pairs_fit = false;  // see block_tile-inl.h
// A sum of codes times x, to which two steps at a time are added. end(): after so many steps.
template <int bits>
struct Dot {
  static constexpr int together = 32767 / (2 * ((1 << bits) - 1) * 127);  // steps whose sum fits into 16 bits
  __m512i sum, pairs;

  AVIARY_AVX512 void begin(__m512i start) { sum = start, pairs = start; }
  AVIARY_AVX512 void add(int step, const Pair& codes, __m512i even, __m512i odd) {
    const __m512i both = products(codes, even, odd);
    pairs = step % together == 0 ? both : _mm512_add_epi16(pairs, both);
    if ((step + 2) % together == 0) sum = _mm512_add_epi32(sum, wide(pairs, 1));
  }
  AVIARY_AVX512 void end(int steps) {
    if (steps % together != 0) sum = _mm512_add_epi32(sum, wide(pairs, 1));
  }
};
// Codes of 8 bits are 16 times their upper half plus their lower half.
template <>
struct Dot<8> {
  __m512i sum, low, high;

  AVIARY_AVX512 void begin(__m512i start) { sum = start, low = high = _mm512_setzero_si512(); }
  AVIARY_AVX512 void add(int, const Pair& codes, __m512i even, __m512i odd) {
    const __m512i half = _mm512_set1_epi8(15);
    low = _mm512_add_epi16(
        low, products({_mm512_and_si512(codes.even, half), _mm512_and_si512(codes.odd, half)}, even, odd));
    high = _mm512_add_epi16(high, products({_mm512_and_si512(_mm512_srli_epi16(codes.even, 4), half),
                                            _mm512_and_si512(_mm512_srli_epi16(codes.odd, 4), half)},
                                           even, odd));
  }
  AVIARY_AVX512 void end(int) { sum = _mm512_add_epi32(sum, _mm512_add_epi32(wide(low, 1), wide(high, 16))); }
};

AVIARY_AVX512 inline __m512 load(const float* from) { return _mm512_loadu_ps(from); }
AVIARY_AVX512 inline void store(__m512 x, float* to) { _mm512_storeu_ps(to, x); }
AVIARY_AVX512 inline __m512 all(float x) { return _mm512_set1_ps(x); }
AVIARY_AVX512 inline __m512i whole(int32_t x) { return _mm512_set1_epi32(x); }
AVIARY_AVX512 inline __m512 multiply(__m512 x, float y) { return _mm512_mul_ps(x, all(y)); }
AVIARY_AVX512 inline __m512 multiply_add(__m512 x, __m512 y, __m512 sum) {
  return _mm512_fmadd_ps(x, y, sum);
}

using Floats = __m512;
using Codes = __m512i;
#define AVIARY_TILE __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#include "kernels/cpu/block_tile-inl.h"

}  // namespace

const BlockKernels* block_kernels_avx512(Dtype type) {
  return has_avx512() ? kernels_of(type, UsualTile()) : nullptr;
}

}  // namespace aviary::kernels
#else
namespace aviary::kernels {
const BlockKernels* block_kernels_avx512(Dtype) { return nullptr; }
}  // namespace aviary::kernels
#endif
