// bf16 products on CPUs with AVX512_BF16, whose instructions Highway 1.0 does not support: one instruction
// adds the products of two pairs of bf16 to each of sixteen sums.
#include <hwy/base.h>

#include <algorithm>

#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/matmul_micro.h"

#if HWY_ARCH_X86
#include <immintrin.h>

#define AVIARY_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

namespace aviary::kernels {
namespace {

constexpr int64_t lanes = 16, width = 2 * lanes;

// Address of row r of A at step i, for a tile.
struct Rows {
  template <int rows>
  static int64_t at(int r, int64_t i) {
    return r * a_row_stride + i;
  }
};
struct Columns {
  template <int rows>
  static int64_t at(int r, int64_t i) {
    return i * rows + r;
  }
};

template <int rows, int panels, class Layout>
AVIARY_BF16 void dot_tile(const float* HWY_RESTRICT a, const void* b, int64_t panel_bytes, int64_t k,
                          float* HWY_RESTRICT c, int64_t c_stride, bool accumulate, const void* ahead) {
  constexpr int columns = 2 * panels;  // in vectors
  __m512 sum[rows][columns];
  HWY_UNROLL(6)
  for (int r = 0; r < rows; ++r) {
    HWY_UNROLL(8)
    for (int j = 0; j < columns; ++j)
      sum[r][j] = accumulate ? _mm512_loadu_ps(c + r * c_stride + j * lanes) : _mm512_setzero_ps();
  }
  const float* HWY_RESTRICT panel = static_cast<const float*>(b);
  const int64_t stride = panel_bytes / 4;
  const auto* line = static_cast<const char*>(ahead);
  for (int64_t i = 0; i < k; ++i, panel += width, line += line_bytes) {
    if constexpr (rows > 1) {
      _mm_prefetch(line, _MM_HINT_T1);
    } else {
      HWY_UNROLL(2)
      for (int64_t j = 0; j < columns; ++j)
        _mm_prefetch(reinterpret_cast<const char*>(panel + j * lanes) + row_ahead_avx512, _MM_HINT_T0);
    }
    __m512bh pairs[columns];
    HWY_UNROLL(8)
    for (int j = 0; j < columns; ++j)
      pairs[j] = (__m512bh)_mm512_loadu_ps(panel + j / 2 * stride + j % 2 * lanes);
    HWY_UNROLL(6)
    for (int r = 0; r < rows; ++r) {
      const auto factor = (__m512bh)_mm512_set1_ps(a[Layout::template at<rows>(r, i)]);
      HWY_UNROLL(8)
      for (int j = 0; j < columns; ++j) sum[r][j] = _mm512_dpbf16_ps(sum[r][j], factor, pairs[j]);
    }
  }
  HWY_UNROLL(6)
  for (int r = 0; r < rows; ++r) {
    HWY_UNROLL(8)
    for (int j = 0; j < columns; ++j) _mm512_storeu_ps(c + r * c_stride + j * lanes, sum[r][j]);
  }
}

// Mask of the elements that exist in a vector when `count` are left.
AVIARY_BF16 __mmask16 first(int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }

AVIARY_BF16 void pair_columns(const float* x, int64_t count, float* pairs) {
  auto* halves = reinterpret_cast<uint16_t*>(pairs);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(halves + i),
                        (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + i)));
  const __mmask16 rest = first(count - i), even = first((count - i + 1) / 2 * 2);
  _mm256_mask_storeu_epi16(halves + i, even, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(rest, x + i)));
}

// Pairs of x0 and x1, which may be null, where the mask is set.
AVIARY_BF16 __m512i pair_of(__mmask16 mask, const float* x0, const float* x1) {
  const auto low = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x0));
  const auto high =
      x1 ? (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x1)) : _mm256_setzero_si256();
  // Masked intrinsics throughout: g++ 12 warns about uninitialized values in the unmasked ones.
  return _mm512_or_si512(_mm512_maskz_cvtepu16_epi32(mask, low),
                         _mm512_maskz_slli_epi32(mask, _mm512_maskz_cvtepu16_epi32(mask, high), 16));
}

AVIARY_BF16 void pair_rows(const float* x0, const float* x1, int64_t count, float* pairs) {
  for (int64_t i = 0; i < count; i += lanes) {
    const __mmask16 mask = first(std::min(lanes, count - i));
    _mm512_mask_storeu_epi32(pairs + i, mask, pair_of(mask, x0 + i, x1 ? x1 + i : nullptr));
  }
}

// See DotKernels::thin.
template <int rows>
AVIARY_BF16 void thin_tile(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, int64_t b_stride,
                           int64_t depth, int64_t columns, float* HWY_RESTRICT c, int64_t c_stride) {
  constexpr int64_t ahead = 16;  // rows are too far apart for the hardware prefetcher
  const __mmask16 mask = first(columns);
  __m512 sum[rows];
  HWY_UNROLL(16)
  for (int r = 0; r < rows; ++r) sum[r] = _mm512_maskz_loadu_ps(mask, c + r * c_stride);
  for (int64_t i = 0; i < depth; i += 2, a += rows, b += 2 * b_stride) {
    _mm_prefetch(reinterpret_cast<const char*>(b + ahead * b_stride), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(b + (ahead + 1) * b_stride), _MM_HINT_T0);
    const auto pair = (__m512bh)pair_of(mask, b, i + 1 < depth ? b + b_stride : nullptr);
    HWY_UNROLL(16)
    for (int r = 0; r < rows; ++r) sum[r] = _mm512_dpbf16_ps(sum[r], pair, (__m512bh)_mm512_set1_ps(a[r]));
  }
  HWY_UNROLL(16)
  for (int r = 0; r < rows; ++r) _mm512_mask_storeu_ps(c + r * c_stride, mask, sum[r]);
}

template <int rows, int panels>
constexpr TileFunction tile() {
  if constexpr (panels <= widest_tile(rows))
    return dot_tile<rows, panels, Rows>;
  else
    return nullptr;
}

template <int rows>
constexpr void enter(DotKernels& all) {
  TileFunction tiles[] = {tile<rows, 1>(), tile<rows, 2>(), tile<rows, 3>(), tile<rows, 4>()};
  for (int i = 0; i < tile_panels; ++i) all.tiles[rows - 1][i] = tiles[i];
  all.transposed[rows - 1] = dot_tile<rows, 1, Columns>;
}

constexpr DotKernels make_table() {
  DotKernels all{};
  enter<1>(all);
  enter<2>(all);
  enter<3>(all);
  enter<4>(all);
  enter<5>(all);
  enter<6>(all);
  all.pair_columns = pair_columns;
  all.pair_rows = pair_rows;
  all.thin[0] = thin_tile<8>;
  all.thin[1] = thin_tile<16>;
  return all;
}

}  // namespace

const DotKernels* dot_kernels() {
  static constexpr DotKernels table = make_table();
  return has_bf16_dot_products() ? &table : nullptr;
}

}  // namespace aviary::kernels
#else
namespace aviary::kernels {
const DotKernels* dot_kernels() { return nullptr; }
}  // namespace aviary::kernels
#endif
