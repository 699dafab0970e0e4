// Instructions that Highway's targets do not tell apart.
#pragma once

namespace aviary::kernels {

// AVX2, FMA and F16C on this CPU, and allowed by isa().
bool has_avx2();
// AVX-512 (F, BW, VL, DQ) on this CPU, and allowed by isa().
bool has_avx512();
// AVX512_BF16 besides.
bool has_bf16_dot_products();
// AVX512_VNNI besides.
bool has_int8_dot_products();

}  // namespace aviary::kernels
