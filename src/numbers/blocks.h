// The block formats of ggml, one definition of each. A row of numbers is divided into blocks of 32 (q8_0,
// q5_1, q5_0, q4_1, q4_0: blocks.cpp) or 256 (q4_k, q5_k, q6_k: blocks_k.cpp). A block holds small integers
// and a scale, in some formats also an offset, from which the numbers are computed.
#pragma once

#include <cstddef>
#include <span>

#include "numbers/dtype.h"

namespace aviary {

// values.size() is a multiple of block_of(type).elements; `data` may be unaligned.
void decode_blocks(Dtype type, const std::byte* data, std::span<float> values);

// The encoders search for the scales with the smallest squared error. Numbers decoded from a block whose
// integers use their whole range are encoded exactly. NaN becomes zero; numbers beyond the range of the
// format become its largest number.
void encode_blocks(std::span<const float> values, Dtype type, std::byte* data);

// The content of a block, unpacked. Number i of group g = i / group is
//   (scale * scales[g]) * (levels[i] - middle) + offset * offsets[g]
// with middle and group of form_of(type); scales and offsets are 1 in the formats without groups, offset is 0
// in those without offsets.
struct BlockLevels {
  static constexpr int most = 256;
  uint8_t levels[most];
  f16 scale, offset;
  int8_t scales[16];
  uint8_t offsets[16];
};
struct BlockForm {
  int bits, middle;
  int group;  // numbers that share a scale
  bool has_offset;
};
constexpr BlockForm form_of(Dtype type) {
  switch (type) {
    case Dtype::q5_1:
      return {5, 0, 32, true};
    case Dtype::q5_0:
      return {5, 16, 32, false};
    case Dtype::q4_1:
      return {4, 0, 32, true};
    case Dtype::q4_0:
      return {4, 8, 32, false};
    case Dtype::q4_k:
      return {4, 0, 32, true};
    case Dtype::q5_k:
      return {5, 0, 32, true};
    case Dtype::q6_k:
      return {6, 32, 16, false};
    default:
      return {8, 128, 32, false};  // q8_0
  }
}
void unpack_block(Dtype type, const std::byte* data, BlockLevels& block);

// ---- One format each, for decode_blocks and encode_blocks.

template <typename Format>
void decode_all(const std::byte* data, std::span<float> values) {
  for (size_t i = 0; i < values.size(); i += Format::count, data += Format::bytes)
    Format::decode(data, &values[i]);
}
template <typename Format>
void encode_all(std::span<const float> values, std::byte* data) {
  for (size_t i = 0; i < values.size(); i += Format::count, data += Format::bytes)
    Format::encode(&values[i], data);
}

struct Q4K {
  static constexpr size_t count = 256, bytes = 144;
  static void unpack(const std::byte* data, BlockLevels& block);
  static void decode(const std::byte* data, float* x);
  static void encode(const float* x, std::byte* data);
};
struct Q5K {
  static constexpr size_t count = 256, bytes = 176;
  static void unpack(const std::byte* data, BlockLevels& block);
  static void decode(const std::byte* data, float* x);
  static void encode(const float* x, std::byte* data);
};
struct Q6K {
  static constexpr size_t count = 256, bytes = 210;
  static void unpack(const std::byte* data, BlockLevels& block);
  static void decode(const std::byte* data, float* x);
  static void encode(const float* x, std::byte* data);
};

}  // namespace aviary
