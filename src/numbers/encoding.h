// Numbers as stored in files and stored weights: plain types, and the block formats of ggml. Large tensors
// are converted on all cores.
#pragma once

#include <cstddef>
#include <span>

#include "numbers/dtype.h"

namespace aviary {

// The types that stored weights can have, and those of them that are block formats.
inline constexpr Dtype weight_types[] = {Dtype::f32,  Dtype::f16,  Dtype::bf16, Dtype::q8_0,
                                         Dtype::q6_k, Dtype::q5_k, Dtype::q5_1, Dtype::q5_0,
                                         Dtype::q4_k, Dtype::q4_1, Dtype::q4_0};
inline constexpr std::span<const Dtype> block_types = std::span(weight_types).subspan<3>();

// Reads values.size() numbers of `type` from `data`, which may be unaligned; whole blocks only. A boolean
// becomes 0 or 1.
void decode(Dtype type, const std::byte* data, std::span<float> values);
void decode(Dtype type, const std::byte* data, std::span<double> values);

// The index of the first of `count` numbers that is NaN or infinite, -1 if there is none; for a block whose
// scale or offset is, the index of its first number.
int64_t first_not_finite(Dtype type, const std::byte* data, int64_t count);

// Stores numbers as f32, f64, f16, bf16 or a block format, rounded to nearest; `data` has
// bytes_of(type, values.size()) bytes. Throws Error for the integer types.
void encode(std::span<const float> values, Dtype type, std::byte* data);

}  // namespace aviary
