// What tiles of AVX-512 with and without VNNI share: the codes, scales and offsets of a packed unit, in
// vectors of sixteen columns. No include guard, see block_tile-inl.h. Functions of the instruction set that
// includes this may inline these.
#define AVIARY_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"), always_inline))

AVIARY_AVX512 inline __m512i load(const std::byte* at) { return _mm512_loadu_si512(at); }

constexpr int64_t lanes = 16;
constexpr int vectors = 2;  // of a panel

// The codes of a step in the columns of a vector, as bytes. at: the codes of 32 rows of B.
template <class Layout>
AVIARY_AVX512 inline __m512i codes_of(const std::byte* at, int64_t step, int v) {
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
constexpr __mmask16 every = 0xffff;

AVIARY_AVX512 inline __m512 halves(const std::byte* at) {
  return _mm512_maskz_cvtph_ps(every, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}
AVIARY_AVX512 inline __m512 floats(__m512i x) { return _mm512_maskz_cvtepi32_ps(every, x); }
AVIARY_AVX512 inline __m128i bytes(const std::byte* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

// Scale and offset of a group, for the columns of a vector.
template <class Layout>
AVIARY_AVX512 inline __m512 scale_of(const std::byte* unit, int64_t group, int v) {
  const __m512 scale = halves(unit + v * 2 * lanes);
  if constexpr (!Layout::has_groups) return scale;
  const __m128i factors = bytes(unit + Layout::factors_at(group) + v * lanes);
  return _mm512_mul_ps(scale, floats(_mm512_maskz_cvtepi8_epi32(every, factors)));
}
template <class Layout>
AVIARY_AVX512 inline __m512 offset_of(const std::byte* unit, int64_t group, int v) {
  const __m512 offset = halves(unit + 2 * block_columns + v * 2 * lanes);
  if constexpr (!Layout::has_groups) return offset;
  const __m128i factors = bytes(unit + Layout::factors_at(group) + block_columns + v * lanes);
  return _mm512_mul_ps(offset, floats(_mm512_maskz_cvtepu8_epi32(every, factors)));
}

AVIARY_AVX512 inline __m512i four_codes(const int8_t* at) {
  int32_t four;
  __builtin_memcpy(&four, at, 4);
  return _mm512_set1_epi32(four);
}
