// Products with block formats on CPUs with AVX-VNNI: one instruction adds four products of bytes to each of
// eight sums.
#include <hwy/base.h>

#include "kernels/cpu/block_layout.h"
#include "kernels/cpu/cpu_features.h"

#if HWY_ARCH_X86
#include <immintrin.h>

namespace aviary::kernels {
namespace {

#include "kernels/cpu/block_avx2-inl.h"

template <int>
constexpr bool pairs_fit = false;  // see block_tile-inl.h
// A sum of codes times x, to which two steps at a time are added. end(): after so many steps.
template <int>
struct Dot {
  __m256i sum;

  AVIARY_AVX2 void begin(__m256i start) { sum = start; }
  __attribute__((target("avx2,fma,f16c,avxvnni"), always_inline)) void add(int, const Pair& codes,
                                                                           __m256i even, __m256i odd) {
    sum = _mm256_dpbusd_avx_epi32(_mm256_dpbusd_avx_epi32(sum, codes.even, even), codes.odd, odd);
  }
  AVIARY_AVX2 void end(int) {}
};

#define AVIARY_TILE __attribute__((target("avx2,fma,f16c,avxvnni")))
#include "kernels/cpu/block_tile-inl.h"

}  // namespace

const BlockKernels* block_kernels_avx_vnni(Dtype type) {
  return has_avx_vnni() ? kernels_of(type, UsualTile()) : nullptr;
}

}  // namespace aviary::kernels
#else
namespace aviary::kernels {
const BlockKernels* block_kernels_avx_vnni(Dtype) { return nullptr; }
}  // namespace aviary::kernels
#endif
