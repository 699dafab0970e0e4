// Instructions that Highway's targets do not tell apart.
#pragma once

#include <hwy/detect_targets.h>

// Functions with SDOT beside others: g++ compiles them, clang 14 does not.
#define AVIARY_COMPILES_SDOT (HWY_ARCH_ARM_A64 && HWY_HAVE_RUNTIME_DISPATCH)

namespace aviary::kernels {

// AVX2, FMA and F16C on this CPU, and allowed by isa().
bool has_avx2();
// AVX-512 (F, BW, VL, DQ) on this CPU, and allowed by isa().
bool has_avx512();
// AVX512_BF16 besides.
bool has_bf16_dot_products();
// AVX512_VNNI besides; on ARM SDOT.
bool has_int8_dot_products();

}  // namespace aviary::kernels
