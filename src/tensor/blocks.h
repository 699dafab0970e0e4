// The block formats of ggml, one definition of each. A row of numbers is cut into blocks of 32 (q8_0, q5_1,
// q5_0, q4_1, q4_0) or 256 (q4_k, q5_k, q6_k); a block holds small integers and the scale, and in some
// formats the offset, that turn them back into numbers.
#pragma once

#include <cstddef>
#include <span>

#include "tensor/dtype.h"

namespace aviary {

// values.size() is a multiple of block_of(type).elements; `data` may be unaligned.
void decode_blocks(Dtype type, const std::byte* data, std::span<float> values);
void encode_blocks(std::span<const float> values, Dtype type, std::byte* data);

}  // namespace aviary
