// The block formats of 256 numbers: a block is divided into groups, and the scales (and offsets) of the
// groups are themselves small integers, multiplied by one f16 per block. All f16 are little-endian.
#include <cstring>

#include "numbers/block_fit.h"
#include "numbers/blocks.h"

namespace aviary {
namespace {

f16 half_at(const std::byte* data) {
  f16 half;
  std::memcpy(&half, data, 2);
  return half;
}
float put_unit(float x, std::byte* data) {
  const f16 half = to_unit(x);
  std::memcpy(data, &half, 2);
  return to_float(half);
}

int byte_at(const std::byte* data, int i) { return std::to_integer<int>(data[i]); }

int nearest(float x, float unit, int low, int high) {
  return unit != 0 ? static_cast<int>(
                         std::clamp(std::round(x / unit), static_cast<float>(low), static_cast<float>(high)))
                   : 0;
}

// q4_k (bits = 4) and q5_k (bits = 5): 8 groups of 32 numbers. In group g
//   x[i] = (scale * s[g]) * q[i] - (step * m[g])
//   scale   f16
//   step    f16
//   sm      12 bytes    s and m, 6 bits each. g < 4: s[g] is the low 6 bits of byte g, m[g] those of byte
//                       g + 4. g >= 4: the low half of byte g + 4 is the low four bits of s[g], its high half
//                       those of m[g]; their two high bits are the top bits of byte g - 4 (s) and byte g (m)
//   high    32 bytes    q5_k only: bit g of byte i is the fifth bit of number i of group g
//   low     128 bytes   low four bits: bytes 32 p to 32 p + 31 hold group 2 p in their low halves and group
//                       2 p + 1 in their high halves
template <int bits>
struct Grouped {
  static constexpr int groups = 8, size = 32;
  static constexpr int pairs_at = 4, high_at = 16, low_at = bits == 5 ? 48 : 16;
  using GroupFit = Fit<size, 0, (1 << bits) - 1, Offset::not_positive>;

  struct Pair {
    int scale, minimum;
  };

  static Pair pair_at(const std::byte* b, int g) {
    if (g < 4) return {byte_at(b, g) & 63, byte_at(b, g + 4) & 63};
    return {(byte_at(b, g + 4) & 15) | byte_at(b, g - 4) >> 6 << 4,
            byte_at(b, g + 4) >> 4 | byte_at(b, g) >> 6 << 4};
  }
  static void put_pairs(const Pair* pairs, std::byte* b) {
    for (int g = 0; g < 4; ++g) {
      const Pair first = pairs[g], second = pairs[g + 4];
      b[g] = static_cast<std::byte>(first.scale | second.scale >> 4 << 6);
      b[g + 4] = static_cast<std::byte>(first.minimum | second.minimum >> 4 << 6);
      b[g + 8] = static_cast<std::byte>((second.scale & 15) | (second.minimum & 15) << 4);
    }
  }

  static void unpack(const std::byte* data, BlockLevels& block) {
    block.scale = half_at(data);
    block.offset = {static_cast<uint16_t>(half_at(data + 2).bits ^ 0x8000u)};  // what is subtracted
    for (int g = 0; g < groups; ++g) {
      const Pair pair = pair_at(data + pairs_at, g);
      block.scales[g] = static_cast<int8_t>(pair.scale);
      block.offsets[g] = static_cast<uint8_t>(pair.minimum);
      for (int i = 0; i < size; ++i) {
        int q = byte_at(data, low_at + g / 2 * size + i) >> (g % 2 * 4) & 15;
        if constexpr (bits == 5) q |= (byte_at(data, high_at + i) >> g & 1) << 4;
        block.levels[g * size + i] = static_cast<uint8_t>(q);
      }
    }
  }

  static void decode(const std::byte* data, float* x) {
    BlockLevels block;
    unpack(data, block);
    for (int g = 0; g < groups; ++g) {
      const float s = to_float(block.scale) * static_cast<float>(block.scales[g]);
      const float m = to_float(block.offset) * static_cast<float>(block.offsets[g]);
      for (int i = g * size; i < (g + 1) * size; ++i) x[i] = s * static_cast<float>(block.levels[i]) + m;
    }
  }

  // Searches the neighborhood of the rounded scale and offset for the integers with the smallest error of the
  // group.
  static Pair best_pair(const float* x, Line line, float scale, float step) {
    const Pair middle{nearest(line.scale, scale, 0, 63), nearest(-line.offset, step, 0, 63)};
    Pair best{0, 0};
    float best_error = GroupFit::error(x, {});
    for (int s = std::max(middle.scale - 1, 0); s <= std::min(middle.scale + 1, 63); ++s)
      for (int m = std::max(middle.minimum - 1, 0); m <= std::min(middle.minimum + 1, 63); ++m) {
        const float error =
            GroupFit::error(x, {scale * static_cast<float>(s), -step * static_cast<float>(m)});
        if (error < best_error) best = {s, m}, best_error = error;
      }
    return best;
  }

  static void encode(const float* numbers, std::byte* data) {
    float x[groups * size], q[groups * size];
    for (int i = 0; i < groups * size; ++i) x[i] = storable(numbers[i]);
    Line lines[groups];
    float largest_scale = 0, least_offset = 0;
    for (int g = 0; g < groups; ++g) {
      lines[g] = GroupFit::best_line(x + g * size, [](Line line) { return line; });
      largest_scale = std::max(largest_scale, lines[g].scale);
      least_offset = std::min(least_offset, lines[g].offset);
    }
    const float scale = put_unit(largest_scale / 63, data), step = put_unit(-least_offset / 63, data + 2);
    Pair pairs[groups];
    for (int g = 0; g < groups; ++g) {
      pairs[g] = best_pair(x + g * size, lines[g], scale, step);
      const Line line{scale * static_cast<float>(pairs[g].scale),
                      -step * static_cast<float>(pairs[g].minimum)};
      GroupFit::round(x + g * size, line, q + g * size);
    }
    put_pairs(pairs, data + pairs_at);
    put_levels(q, data);
  }

  static void put_levels(const float* q, std::byte* data) {
    for (int g = 0; g < groups; g += 2)
      for (int i = 0; i < size; ++i) {
        const int first = static_cast<int>(q[g * size + i]), second = static_cast<int>(q[(g + 1) * size + i]);
        data[low_at + g / 2 * size + i] = static_cast<std::byte>((first & 15) | (second & 15) << 4);
      }
    if constexpr (bits == 5)
      for (int i = 0; i < size; ++i) {
        int high = 0;
        for (int g = 0; g < groups; ++g) high |= static_cast<int>(q[g * size + i]) >> 4 << g;
        data[high_at + i] = static_cast<std::byte>(high);
      }
  }
};

// q6_k: 16 groups of 16 numbers; x[i] = (scale * s[g]) * (q[i] - 32) in group g = i / 16.
//   low     128 bytes   low four bits: byte 64 h + l (h = 0, 1; l = 0 ... 63) holds number 128 h + l in its
//                       low half and number 128 h + l + 64 in its high half
//   high    64 bytes    byte 32 h + l (l = 0 ... 31) holds the two high bits of the numbers 128 h + l,
//                       + 32, + 64 and + 96, from its low bits to its high bits
//   s       16 int8
//   scale   f16
struct Sixes {
  static constexpr int groups = 16, size = 16;
  static constexpr int high_at = 128, scales_at = 192, scale_at = 208;
  using GroupFit = Fit<size, -32, 31, Offset::zero>;

  static void unpack(const std::byte* data, BlockLevels& block) {
    block.scale = half_at(data + scale_at);
    for (int group = 0; group < groups; ++group) {
      const int h = group / 8, l = group % 8 * size;  // the group begins at number 128 h + l
      const std::byte* low = data + 64 * h + l % 64;
      const std::byte* high = data + high_at + 32 * h + l % 32;
      block.scales[group] = std::to_integer<int8_t>(data[scales_at + group]);
      for (int i = 0; i < size; ++i)
        block.levels[group * size + i] = static_cast<uint8_t>((byte_at(low, i) >> (l / 64 * 4) & 15) |
                                                              (byte_at(high, i) >> (l / 32 * 2) & 3) << 4);
    }
  }

  static void decode(const std::byte* data, float* x) {
    BlockLevels block;
    unpack(data, block);
    for (int i = 0; i < groups * size; ++i)
      x[i] = to_float(block.scale) * static_cast<float>(block.scales[i / size]) *
             static_cast<float>(block.levels[i] - 32);
  }

  static int best_scale(const float* x, float wished, float scale) {
    const int middle = nearest(wished, scale, -128, 127);
    int best = 0;
    float best_error = GroupFit::error(x, {});
    for (int s = std::max(middle - 1, -128); s <= std::min(middle + 1, 127); ++s) {
      const float error = GroupFit::error(x, {scale * static_cast<float>(s), 0});
      if (error < best_error) best = s, best_error = error;
    }
    return best;
  }

  static void encode(const float* numbers, std::byte* data) {
    float x[groups * size], q[groups * size];
    for (int i = 0; i < groups * size; ++i) x[i] = storable(numbers[i]);
    float scales[groups], extreme = 0;
    for (int g = 0; g < groups; ++g) {
      scales[g] = GroupFit::best_line(x + g * size, [](Line line) { return line; }).scale;
      if (std::abs(scales[g]) > std::abs(extreme)) extreme = scales[g];
    }
    const float scale = put_unit(extreme / -128, data + scale_at);
    for (int g = 0; g < groups; ++g) {
      const int s = best_scale(x + g * size, scales[g], scale);
      data[scales_at + g] = static_cast<std::byte>(s);
      GroupFit::round(x + g * size, {scale * static_cast<float>(s), 0}, q + g * size);
    }
    put_levels(q, data);
  }

  static void put_levels(const float* q, std::byte* data) {
    for (int h = 0; h < 2; ++h, q += 128) {
      auto level = [&](int i) { return static_cast<int>(q[i]) + 32; };
      for (int l = 0; l < 64; ++l)
        data[64 * h + l] = static_cast<std::byte>((level(l) & 15) | (level(l + 64) & 15) << 4);
      for (int l = 0; l < 32; ++l)
        data[high_at + 32 * h + l] = static_cast<std::byte>(
            level(l) >> 4 | level(l + 32) >> 4 << 2 | level(l + 64) >> 4 << 4 | level(l + 96) >> 4 << 6);
    }
  }
};

}  // namespace

void Q4K::unpack(const std::byte* data, BlockLevels& block) { Grouped<4>::unpack(data, block); }
void Q5K::unpack(const std::byte* data, BlockLevels& block) { Grouped<5>::unpack(data, block); }
void Q6K::unpack(const std::byte* data, BlockLevels& block) { Sixes::unpack(data, block); }
void Q4K::decode(const std::byte* data, float* x) { Grouped<4>::decode(data, x); }
void Q4K::encode(const float* x, std::byte* data) { Grouped<4>::encode(x, data); }
void Q5K::decode(const std::byte* data, float* x) { Grouped<5>::decode(data, x); }
void Q5K::encode(const float* x, std::byte* data) { Grouped<5>::encode(x, data); }
void Q6K::decode(const std::byte* data, float* x) { Sixes::decode(data, x); }
void Q6K::encode(const float* x, std::byte* data) { Sixes::encode(x, data); }

}  // namespace aviary
