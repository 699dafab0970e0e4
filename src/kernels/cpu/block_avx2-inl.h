// What tiles of AVX2 and of AVX-VNNI share: the codes, scales and offsets of a packed unit, in vectors of
// eight columns. No include guard, see block_tile-inl.h. Functions of the instruction set that includes this
// may inline these.
#define AVIARY_AVX2 __attribute__((target("avx2,fma,f16c"), always_inline))

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

AVIARY_AVX2 inline __m256 load(const float* from) { return _mm256_loadu_ps(from); }
AVIARY_AVX2 inline void store(__m256 x, float* to) { _mm256_storeu_ps(to, x); }
AVIARY_AVX2 inline __m256 all(float x) { return _mm256_set1_ps(x); }
AVIARY_AVX2 inline __m256i whole(int32_t x) { return _mm256_set1_epi32(x); }
AVIARY_AVX2 inline __m256 floats(__m256i x) { return _mm256_cvtepi32_ps(x); }
AVIARY_AVX2 inline __m256 multiply(__m256 x, float y) { return _mm256_mul_ps(x, all(y)); }
AVIARY_AVX2 inline __m256 multiply_add(__m256 x, __m256 y, __m256 sum) { return _mm256_fmadd_ps(x, y, sum); }

using Floats = __m256;
using Codes = __m256i;
