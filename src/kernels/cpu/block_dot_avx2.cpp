// Products with block formats on CPUs with AVX2: sums of pairs of byte products are accumulated in 16 bits,
// for as many steps as cannot overflow; the smaller the codes, the more.
#include <hwy/base.h>

#include "kernels/cpu/block_layout.h"
#include "kernels/cpu/cpu_features.h"

#if HWY_ARCH_X86
#include <immintrin.h>

#define AVIARY_AVX2 __attribute__((target("avx2,fma,f16c"), always_inline))
#define AVIARY_AVX2_ENTRY __attribute__((target("avx2,fma,f16c")))

namespace aviary::kernels {
namespace {

AVIARY_AVX2 inline __m256i load(const std::byte* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

constexpr int64_t lanes = 8;
constexpr int vectors = 4;  // of a panel

// The codes of 32 rows of B in the columns of a vector, as bytes.
template <class Layout>
AVIARY_AVX2 inline void unpack(const std::byte* at, int v, __m256i (&codes)[block_steps]) {
  if constexpr (Layout::bits == 8) {
    for (int s = 0; s < block_steps; ++s) codes[s] = load(at + s * step_bytes + v * 32);
    return;
  }
  const __m256i low = _mm256_set1_epi8(15);
  HWY_UNROLL(4)
  for (int s = 0; s < block_steps; s += 2) {
    const __m256i both = load(at + Layout::step_at(s) + v * 32);
    codes[s] = _mm256_and_si256(both, low);
    codes[s + 1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
  }
  if constexpr (Layout::bits == 5) {
    // Byte j of the vector receives bit j % 8 of byte j / 8 of the mask.
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
                                            2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201ull));
    const __m256i sixteen = _mm256_set1_epi8(16);
    HWY_UNROLL(8)
    for (int s = 0; s < block_steps; ++s) {
      int32_t mask;
      __builtin_memcpy(&mask, at + Layout::high_at(s) + (s % 4 * vectors + v) * 4, 4);
      const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(mask), spread);
      const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
      codes[s] = _mm256_or_si256(codes[s], _mm256_and_si256(set, sixteen));
    }
  }
  if constexpr (Layout::bits == 6) {
    const __m256i high = _mm256_set1_epi8(48);
    HWY_UNROLL(2)
    for (int s = 0; s < block_steps; s += 4) {
      const __m256i four = load(at + Layout::high_at(s) + v * 32);
      codes[s] = _mm256_or_si256(codes[s], _mm256_and_si256(_mm256_slli_epi16(four, 4), high));
      codes[s + 1] = _mm256_or_si256(codes[s + 1], _mm256_and_si256(_mm256_slli_epi16(four, 2), high));
      codes[s + 2] = _mm256_or_si256(codes[s + 2], _mm256_and_si256(four, high));
      codes[s + 3] = _mm256_or_si256(codes[s + 3], _mm256_and_si256(_mm256_srli_epi16(four, 2), high));
    }
  }
}

AVIARY_AVX2 inline __m256 halves(const std::byte* at) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}
AVIARY_AVX2 inline __m128i eight_bytes(const std::byte* at) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
}

template <class Layout>
AVIARY_AVX2 inline __m256 scale_of(const std::byte* unit, int64_t group, int v) {
  const __m256 scale = halves(unit + v * 2 * lanes);
  if constexpr (!Layout::has_groups) return scale;
  const std::byte* at = unit + Layout::factors_at(group) + v * lanes;
  return _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight_bytes(at))));
}
template <class Layout>
AVIARY_AVX2 inline __m256 offset_of(const std::byte* unit, int64_t group, int v) {
  const __m256 offset = halves(unit + 2 * block_columns + v * 2 * lanes);
  if constexpr (!Layout::has_groups) return offset;
  const std::byte* at = unit + Layout::factors_at(group) + block_columns + v * lanes;
  return _mm256_mul_ps(offset, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight_bytes(at))));
}

AVIARY_AVX2 inline __m256i four_codes(const int8_t* at) {
  int32_t four;
  __builtin_memcpy(&four, at, 4);
  return _mm256_set1_epi32(four);
}

// start + the sum over some steps of the codes times x.
template <int bits, int steps>
AVIARY_AVX2 inline __m256i dot(const __m256i* codes, const int8_t* x, int32_t start) {
  const __m256i ones = _mm256_set1_epi16(1);
  if constexpr (bits == 8) {  // |code - 128| times x with the sign of code - 128: at most 2 * 127 * 128
    __m256i sum = _mm256_setzero_si256();
    HWY_UNROLL(8)
    for (int s = 0; s < steps; ++s) {
      const __m256i code = _mm256_xor_si256(codes[s], _mm256_set1_epi8(-128));
      const __m256i pairs =
          _mm256_maddubs_epi16(_mm256_abs_epi8(code), _mm256_sign_epi8(four_codes(x + 4 * s), code));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    return sum;
  } else {
    constexpr int together = 32767 / (2 * ((1 << bits) - 1) * 127);  // steps whose sum fits into 16 bits
    __m256i sum = _mm256_set1_epi32(start);
    for (int s = 0; s < steps; s += together) {
      __m256i pairs = _mm256_maddubs_epi16(codes[s], four_codes(x + 4 * s));
      for (int t = s + 1; t < s + together && t < steps; ++t)
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(codes[t], four_codes(x + 4 * t)));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    return sum;
  }
}

AVIARY_AVX2 inline __m256 load(const float* from) { return _mm256_loadu_ps(from); }
AVIARY_AVX2 inline void store(__m256 x, float* to) { _mm256_storeu_ps(to, x); }
AVIARY_AVX2 inline __m256 all(float x) { return _mm256_set1_ps(x); }
AVIARY_AVX2 inline __m256 floats(__m256i x) { return _mm256_cvtepi32_ps(x); }
AVIARY_AVX2 inline __m256 multiply(__m256 x, float y) { return _mm256_mul_ps(x, all(y)); }
AVIARY_AVX2 inline __m256 multiply_add(__m256 x, __m256 y, __m256 sum) { return _mm256_fmadd_ps(x, y, sum); }

using Floats = __m256;
using Codes = __m256i;
#define AVIARY_TILE AVIARY_AVX2_ENTRY
#include "kernels/cpu/block_tile-inl.h"

}  // namespace

const BlockKernels* block_kernels_avx2(Dtype type) {
  if (!has_avx2()) return nullptr;
  return with_layout(type, []<class Layout>(Layout) {
    static constexpr BlockKernels kernels =
        make_block_kernels<12>([]<int64_t rows>() { return tile<Layout, rows>; });
    return &kernels;
  });
}

}  // namespace aviary::kernels
#else
namespace aviary::kernels {
const BlockKernels* block_kernels_avx2(Dtype) { return nullptr; }
}  // namespace aviary::kernels
#endif
