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

// The codes of steps `step` and step + 1, which is odd, in the columns of a vector, as bytes. at: the codes
// of 32 rows of B.
struct Pair {
  __m256i even, odd;
};
template <class Layout>
AVIARY_AVX2 inline __m256i high_of(const std::byte* at, int step, int v) {
  const __m256i high = load(at + Layout::high_at(step) + v * 32);
  const int shift = 4 - Layout::high_shift(step);
  const __m256i placed = shift > 0   ? _mm256_slli_epi16(high, shift)
                         : shift < 0 ? _mm256_srli_epi16(high, -shift)
                                     : high;
  return _mm256_and_si256(placed, _mm256_set1_epi8(Layout::bits == 5 ? 16 : 48));
}
template <class Layout>
AVIARY_AVX2 inline Pair pair_of(const std::byte* at, int step, int v) {
  if constexpr (Layout::bits == 8)
    return {load(at + step * step_bytes + v * 32), load(at + (step + 1) * step_bytes + v * 32)};
  const __m256i both = load(at + Layout::step_at(step) + v * 32), low = _mm256_set1_epi8(15);
  Pair pair{_mm256_and_si256(both, low), _mm256_and_si256(_mm256_srli_epi16(both, 4), low)};
  if constexpr (Layout::bits > 4) {
    pair.even = _mm256_or_si256(pair.even, high_of<Layout>(at, step, v));
    pair.odd = _mm256_or_si256(pair.odd, high_of<Layout>(at, step + 1, v));
  }
  return pair;
}

// The codes of 32 rows of B in the columns of a vector.
template <class Layout>
AVIARY_AVX2 inline void unpack(const std::byte* at, int v, __m256i (&codes)[block_steps]) {
  HWY_UNROLL(4)
  for (int s = 0; s < block_steps; s += 2) {
    const Pair pair = pair_of<Layout>(at, s, v);
    codes[s] = pair.even, codes[s + 1] = pair.odd;
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

// Sums of pairs.
AVIARY_AVX2 inline __m256i wide(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }
// Codes of 8 bits times x: |code - 128| times x with the sign of code - 128, whose pairs are at most 2 * 127
// * 128.
AVIARY_AVX2 inline __m256i signed_product(__m256i raw, __m256i x) {
  const __m256i code = _mm256_xor_si256(raw, _mm256_set1_epi8(-128));
  return wide(_mm256_maddubs_epi16(_mm256_abs_epi8(code), _mm256_sign_epi8(x, code)));
}

// start + the sum over some steps of the codes times x.
template <int bits, int steps>
AVIARY_AVX2 inline __m256i dot(const __m256i* codes, const int8_t* x, int32_t start) {
  const __m256i ones = _mm256_set1_epi16(1);
  if constexpr (bits == 8) {  // Codes of 8 bits times x: |code - 128| times x with the sign of code - 128,
                              // whose pairs are at most 2 * 127 * 128.
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

// One row: as the other tiles, but B is read in the order in which it lies in memory.
template <class Layout>
AVIARY_AVX2_ENTRY void row_tile(const RoundedRows& x, const std::byte* panel, int64_t units, float* y,
                                int64_t, bool accumulate, const std::byte*, int64_t) {
  constexpr int64_t blocks = Layout::unit / block_k, groups = Layout::groups_in_32;
  constexpr int steps = static_cast<int>(block_steps / groups), bits = Layout::bits;
  constexpr int together = bits == 8 ? 2 : 32767 / (2 * ((1 << bits) - 1) * 127);  // see dot()
  __m256 sum[vectors];
  HWY_UNROLL(4)
  for (int v = 0; v < vectors; ++v) sum[v] = accumulate ? load(y + v * lanes) : all(0);
  int64_t block = 0;
  for (int64_t u = 0; u < units; ++u, panel += Layout::unit_bytes)
    for (int64_t b = 0; b < blocks; ++b, ++block) {
      const std::byte* at = panel + Layout::codes_at(b);
      prefetch_row<Layout>(at);
      HWY_UNROLL(2)
      for (int64_t g = 0; g < groups; ++g) {
        const int8_t* codes = x.codes + block * block_k + g * steps * 4;
        __m256i dot[vectors], pairs[vectors];
        HWY_UNROLL(4)
        for (int v = 0; v < vectors; ++v)
          dot[v] = bits == 8 ? _mm256_setzero_si256() : _mm256_set1_epi32(x.starts[block * groups + g]);
        HWY_UNROLL(4)
        for (int s = 0; s < steps; s += 2) {
          const __m256i even = four_codes(codes + 4 * s), odd = four_codes(codes + 4 * s + 4);
          HWY_UNROLL(4)
          for (int v = 0; v < vectors; ++v) {
            const Pair pair = pair_of<Layout>(at, static_cast<int>(g) * steps + s, v);
            if constexpr (bits == 8) {
              dot[v] = _mm256_add_epi32(dot[v], signed_product(pair.even, even));
              dot[v] = _mm256_add_epi32(dot[v], signed_product(pair.odd, odd));
              continue;
            }
            const __m256i both =
                _mm256_add_epi16(_mm256_maddubs_epi16(pair.even, even), _mm256_maddubs_epi16(pair.odd, odd));
            pairs[v] = s % together == 0 ? both : _mm256_add_epi16(pairs[v], both);
            if ((s + 2) % together == 0) dot[v] = _mm256_add_epi32(dot[v], wide(pairs[v]));
          }
        }
        HWY_UNROLL(4)
        for (int v = 0; v < vectors; ++v) {
          const __m256 step = multiply(scale_of<Layout>(panel, b * groups + g, v), x.scales[block]);
          sum[v] = multiply_add(floats(dot[v]), step, sum[v]);
        }
      }
      if constexpr (Layout::has_offset) {
        HWY_UNROLL(4)
        for (int v = 0; v < vectors; ++v)
          sum[v] = multiply_add(offset_of<Layout>(panel, b, v), all(x.sums[block]), sum[v]);
      }
    }
  HWY_UNROLL(4)
  for (int v = 0; v < vectors; ++v) store(sum[v], y + v * lanes);
}

using Floats = __m256;
using Codes = __m256i;
#define AVIARY_TILE AVIARY_AVX2_ENTRY
#include "kernels/cpu/block_tile-inl.h"

}  // namespace

const BlockKernels* block_kernels_avx2(Dtype type) {
  if (!has_avx2()) return nullptr;
  return with_layout(type, []<class Layout>(Layout) {
    static constexpr BlockKernels kernels = make_block_kernels<12>([]<int64_t rows>() {
      if constexpr (rows == 1)
        return row_tile<Layout>;
      else
        return tile<Layout, rows>;
    });
    return &kernels;
  });
}

}  // namespace aviary::kernels
#else
namespace aviary::kernels {
const BlockKernels* block_kernels_avx2(Dtype) { return nullptr; }
}  // namespace aviary::kernels
#endif
