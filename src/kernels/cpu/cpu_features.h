// Instructions that Highway's targets do not tell apart.
#pragma once

namespace aviary::kernels {

// AVX-512 (F, BW, VL, DQ) on this CPU, and allowed by isa().
bool has_avx512();
// AVX512_BF16 besides.
bool has_bf16_dot_products();

}  // namespace aviary::kernels
