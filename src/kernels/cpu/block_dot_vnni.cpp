// Products with block formats on CPUs with AVX512_VNNI: one instruction adds four products of bytes to each
// of sixteen sums.
#include <hwy/base.h>

#include "kernels/cpu/block_layout.h"
#include "kernels/cpu/cpu_features.h"

#if HWY_ARCH_X86
#include <immintrin.h>

#define AVIARY_VNNI_ENTRY __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))

namespace aviary::kernels {
namespace {

#include "kernels/cpu/block_avx512-inl.h"

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
        prefetch_row<Layout>(panel + Layout::codes_at(b), row_ahead_avx512);
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
