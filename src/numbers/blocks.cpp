#include "numbers/blocks.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/error.h"
#include "numbers/block_fit.h"

namespace aviary {
namespace {

// The formats of 32 numbers with `bits` bits each. x[i] = scale * q[i] + offset if the format stores an
// offset; otherwise x[i] = scale * (q[i] - 2^(bits - 1)). All f16 and u32 are little-endian.
//   scale    f16
//   offset   f16        q4_1 and q5_1
//   high     u32        q5_0 and q5_1: bit i is the fifth bit of q[i]
//   low      16 bytes   byte i holds the low four bits of q[i] in its low half, of q[i + 16] in its high half
template <int bits, bool has_offset>
struct Nibbles {
  static constexpr size_t count = 32;
  static constexpr int middle = has_offset ? 0 : 1 << (bits - 1);
  static constexpr size_t high_at = has_offset ? 4 : 2, low_at = high_at + (bits == 5 ? 4 : 0);
  static constexpr size_t bytes = low_at + count / 2;
  using GroupFit = Fit<count, -middle, (1 << bits) - 1 - middle, has_offset ? Offset::any : Offset::zero>;

  static void unpack(const std::byte* data, BlockLevels& block) {
    std::memcpy(&block.scale, data, 2);
    if constexpr (has_offset) std::memcpy(&block.offset, data + 2, 2);
    uint32_t high = 0;
    if constexpr (bits == 5) std::memcpy(&high, data + high_at, 4);
    for (size_t i = 0; i < 16; ++i) {
      const unsigned byte = std::to_integer<unsigned>(data[low_at + i]);
      block.levels[i] = static_cast<uint8_t>(byte & 15);
      block.levels[i + 16] = static_cast<uint8_t>(byte >> 4);
    }
    for (size_t i = 0; bits == 5 && i < count; i += 8) {
      uint64_t levels;
      std::memcpy(&levels, block.levels + i, 8);
      levels |= one_bit_a_byte(high >> i & 0xff) << 4;
      std::memcpy(block.levels + i, &levels, 8);
    }
  }

  // Bit i becomes byte i, 0 or 1.
  static uint64_t one_bit_a_byte(uint64_t bits8) {
    const uint64_t apart = bits8 * 0x0101010101010101 & 0x8040201008040201;
    return (apart + 0x7f7f7f7f7f7f7f7f) >> 7 & 0x0101010101010101;
  }

  static void decode(const std::byte* data, float* x) {
    BlockLevels block;
    unpack(data, block);
    const float step = to_float(block.scale);
    for (size_t i = 0; i < count; ++i) x[i] = static_cast<float>(block.levels[i] - middle) * step;
    if constexpr (has_offset)
      for (size_t i = 0; i < count; ++i) x[i] += to_float(block.offset);
  }

  static void encode(const float* numbers, std::byte* data) {
    float x[count], q[count];
    for (size_t i = 0; i < count; ++i) x[i] = storable(numbers[i]);
    const Line line = GroupFit::best_line(x, to_halves);
    GroupFit::round(x, line, q);
    const f16 scale = to_f16(line.scale), offset = to_f16(line.offset);
    std::memcpy(data, &scale, 2);
    if constexpr (has_offset) std::memcpy(data + 2, &offset, 2);
    uint32_t high = 0;
    for (size_t i = 0; i < 16; ++i) {
      const int first = static_cast<int>(q[i]) + middle, second = static_cast<int>(q[i + 16]) + middle;
      data[low_at + i] = static_cast<std::byte>((first & 15) | (second & 15) << 4);
      high |= static_cast<uint32_t>(first >> 4) << i | static_cast<uint32_t>(second >> 4) << (i + 16);
    }
    if constexpr (bits == 5) std::memcpy(data + high_at, &high, 4);
  }
};

// q8_0: x[i] = scale * q[i]
//   scale   f16
//   q       32 int8, none is -128
struct Q8 {
  static constexpr size_t count = 32, bytes = 34;
  using GroupFit = Fit<count, -127, 127, Offset::zero>;

  static void unpack(const std::byte* data, BlockLevels& block) {
    std::memcpy(&block.scale, data, 2);
    for (size_t i = 0; i < count; ++i)
      block.levels[i] = static_cast<uint8_t>(std::to_integer<unsigned>(data[2 + i]) ^ 128u);
  }

  static void decode(const std::byte* data, float* x) {
    f16 scale;
    std::memcpy(&scale, data, 2);
    const float step = to_float(scale);
    for (size_t i = 0; i < count; ++i) x[i] = static_cast<float>(std::to_integer<int8_t>(data[2 + i])) * step;
  }

  static void encode(const float* numbers, std::byte* data) {
    float x[count], q[count];
    for (size_t i = 0; i < count; ++i) x[i] = storable(numbers[i]);
    const Line line = GroupFit::best_line(x, to_halves);
    GroupFit::round(x, line, q);
    const f16 scale = to_f16(line.scale);
    std::memcpy(data, &scale, 2);
    for (size_t i = 0; i < count; ++i) data[2 + i] = static_cast<std::byte>(static_cast<int>(q[i]));
  }
};

// Calls `action` with a value of the format's class.
template <typename Action>
void with_format(Dtype type, Action action) {
  switch (type) {
    case Dtype::q8_0:
      return action(Q8());
    case Dtype::q5_1:
      return action(Nibbles<5, true>());
    case Dtype::q5_0:
      return action(Nibbles<5, false>());
    case Dtype::q4_1:
      return action(Nibbles<4, true>());
    case Dtype::q4_0:
      return action(Nibbles<4, false>());
    case Dtype::q4_k:
      return action(Q4K());
    case Dtype::q5_k:
      return action(Q5K());
    case Dtype::q6_k:
      return action(Q6K());
    default:
      fail("{} is not a block format", name_of(type));
  }
}

}  // namespace

void decode_blocks(Dtype type, const std::byte* data, std::span<float> values) {
  with_format(type, [&]<typename Format>(Format) { decode_all<Format>(data, values); });
}

void encode_blocks(std::span<const float> values, Dtype type, std::byte* data) {
  with_format(type, [&]<typename Format>(Format) { encode_all<Format>(values, data); });
}

void unpack_block(Dtype type, const std::byte* data, BlockLevels& block) {
  block.offset = {};
  std::fill(std::begin(block.scales), std::end(block.scales), int8_t{1});
  std::fill(std::begin(block.offsets), std::end(block.offsets), uint8_t{1});
  with_format(type, [&]<typename Format>(Format) { Format::unpack(data, block); });
}

}  // namespace aviary
