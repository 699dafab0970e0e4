// Detects instructions that Highway's targets do not distinguish.
#pragma once

#include <hwy/detect_targets.h>

#include "kernels/matmul.h"

// Whether functions with SDOT can be compiled in one file with others: g++ can, clang 14 cannot.
#define AVIARY_COMPILES_SDOT (HWY_ARCH_ARM_A64 && HWY_HAVE_RUNTIME_DISPATCH)

namespace aviary::kernels {

// AVX2, FMA and F16C on this CPU, and allowed by isa().
bool has_avx2();
// Also AVX-VNNI, VPDPBUSD in vectors of 256 bits.
bool has_avx_vnni();
// AVX-512 (F, BW, VL, DQ) on this CPU, and allowed by isa().
bool has_avx512();
// Also AVX512_BF16.
bool has_bf16_dot_products();
// Also AVX512_VNNI; on ARM: SDOT.
bool has_int8_dot_products();

// Whether this CPU computes in another way with `isa` than with the one before it in the enumeration; where
// it does not, a test of `isa` would repeat that of the one before.
bool differs_from_isa_before(Isa isa);

}  // namespace aviary::kernels
