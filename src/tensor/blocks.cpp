#include "tensor/blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace aviary {
namespace {

// Towards zero; NaN becomes `low`.
int to_int(float x, int low, int high) {
  return static_cast<int>(std::min(std::max(static_cast<float>(low), x), static_cast<float>(high)));
}

// The formats with 32 numbers in a block: `bits` per number; `offset` says whether the smallest number is
// stored beside the scale, else zero lies in the middle of the range.
//   scale f16 | [offset f16] | [fifth bits u32] | 16 bytes of low nibbles (numbers 0-15) and high ones
//   (16-31)
template <int bits, bool has_offset>
struct Nibbles {
  static constexpr size_t count = 32;
  static constexpr int largest = (1 << bits) - 1, middle = 1 << (bits - 1);
  static constexpr size_t high_at = has_offset ? 4 : 2, low_at = high_at + (bits == 5 ? 4 : 0);
  static constexpr size_t bytes = low_at + count / 2;

  static void decode(const std::byte* data, float* x) {
    f16 scale, offset;
    std::memcpy(&scale, data, 2);
    if constexpr (has_offset) std::memcpy(&offset, data + 2, 2);
    uint32_t high = 0;
    if constexpr (bits == 5) std::memcpy(&high, data + high_at, 4);
    for (size_t i = 0; i < count; ++i) {
      const int byte = std::to_integer<int>(data[low_at + i % 16]);
      const int q = (i < 16 ? byte & 15 : byte >> 4) | static_cast<int>((high >> i & 1) << 4);
      if constexpr (has_offset)
        x[i] = static_cast<float>(q) * to_float(scale) + to_float(offset);
      else
        x[i] = static_cast<float>(q - middle) * to_float(scale);
    }
  }

  static void encode(const float* x, std::byte* data) {
    float scale = 0, zero = 0;  // q = (x - zero) / scale
    if constexpr (has_offset) {
      const auto [low, high] = std::minmax_element(x, x + count);
      scale = (*high - *low) / static_cast<float>(largest);
      zero = *low;
    } else {  // the number of largest magnitude becomes -middle * scale exactly
      const float extreme =
          *std::max_element(x, x + count, [](float a, float b) { return std::abs(a) < std::abs(b); });
      scale = -extreme / static_cast<float>(middle);
    }
    const float inverse = scale != 0 ? 1 / scale : 0;
    uint32_t high = 0;
    std::byte low[16] = {};
    for (size_t i = 0; i < count; ++i) {
      const float place = has_offset ? (x[i] - zero) * inverse : x[i] * inverse + static_cast<float>(middle);
      const int q = to_int(place + 0.5f, 0, largest);
      low[i % 16] |= static_cast<std::byte>(i < 16 ? q & 15 : (q & 15) << 4);
      high |= static_cast<uint32_t>(q >> 4) << i;
    }
    const f16 stored_scale = to_f16(scale), stored_offset = to_f16(zero);
    std::memcpy(data, &stored_scale, 2);
    if constexpr (has_offset) std::memcpy(data + 2, &stored_offset, 2);
    if constexpr (bits == 5) std::memcpy(data + high_at, &high, 4);
    std::memcpy(data + low_at, low, sizeof(low));
  }
};

// scale f16 | 32 int8
struct Q8 {
  static constexpr size_t count = 32, bytes = 34;

  static void decode(const std::byte* data, float* x) {
    f16 scale;
    std::memcpy(&scale, data, 2);
    for (size_t i = 0; i < count; ++i)
      x[i] = static_cast<float>(std::to_integer<int8_t>(data[2 + i])) * to_float(scale);
  }

  static void encode(const float* x, std::byte* data) {
    float largest = 0;
    for (size_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(x[i]));
    const float scale = largest / 127, inverse = scale != 0 ? 1 / scale : 0;
    const f16 stored = to_f16(scale);
    std::memcpy(data, &stored, 2);
    for (size_t i = 0; i < count; ++i)
      data[2 + i] = static_cast<std::byte>(to_int(std::round(x[i] * inverse), -127, 127));
  }
};

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

}  // namespace

void decode_blocks(Dtype type, const std::byte* data, std::span<float> values) {
  switch (type) {
    case Dtype::q8_0:
      return decode_all<Q8>(data, values);
    case Dtype::q5_1:
      return decode_all<Nibbles<5, true>>(data, values);
    case Dtype::q5_0:
      return decode_all<Nibbles<5, false>>(data, values);
    case Dtype::q4_1:
      return decode_all<Nibbles<4, true>>(data, values);
    case Dtype::q4_0:
      return decode_all<Nibbles<4, false>>(data, values);
    default:
      fail("{} is no block format", name_of(type));
  }
}

void encode_blocks(std::span<const float> values, Dtype type, std::byte* data) {
  switch (type) {
    case Dtype::q8_0:
      return encode_all<Q8>(values, data);
    case Dtype::q5_1:
      return encode_all<Nibbles<5, true>>(values, data);
    case Dtype::q5_0:
      return encode_all<Nibbles<5, false>>(values, data);
    case Dtype::q4_1:
      return encode_all<Nibbles<4, true>>(values, data);
    case Dtype::q4_0:
      return encode_all<Nibbles<4, false>>(values, data);
    default:
      fail("{} is no block format", name_of(type));
  }
}

}  // namespace aviary
