// Element types, and the block formats of ggml for stored weights.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace aviary {

// q8_0 to q6_k: the given number of bits per number, in blocks that share a scale (numbers/encoding.h).
enum class Dtype : uint8_t {
  f32,
  f64,
  f16,
  bf16,
  i8,
  u8,
  i16,
  i32,
  i64,
  boolean,
  q8_0,
  q5_1,
  q5_0,
  q4_1,
  q4_0,
  q4_k,
  q5_k,
  q6_k
};
inline constexpr int dtype_count = 18;

// Numbers are stored in blocks of `elements` numbers and `bytes` bytes; for types that are not block formats,
// one number is a block.
struct Block {
  int64_t elements, bytes;
};
constexpr Block block_of(Dtype type) {
  constexpr Block blocks[dtype_count] = {{1, 4},   {1, 8},   {1, 2},   {1, 2},     {1, 1},     {1, 1},
                                         {1, 2},   {1, 4},   {1, 8},   {1, 1},     {32, 34},   {32, 24},
                                         {32, 22}, {32, 20}, {32, 18}, {256, 144}, {256, 176}, {256, 210}};
  return blocks[static_cast<int>(type)];
}
constexpr bool is_quantized(Dtype type) { return block_of(type).elements > 1; }

// Bytes of one element of a type outside the block formats.
constexpr int64_t size_of(Dtype type) { return block_of(type).bytes; }
// Bytes of `count` numbers, whole blocks.
constexpr int64_t bytes_of(Dtype type, int64_t count) {
  return count / block_of(type).elements * block_of(type).bytes;
}

constexpr std::string_view name_of(Dtype type) {
  constexpr std::string_view names[dtype_count] = {"f32",  "f64",  "f16",  "bf16", "i8",   "u8",
                                                   "i16",  "i32",  "i64",  "bool", "q8_0", "q5_1",
                                                   "q5_0", "q4_1", "q4_0", "q4_k", "q5_k", "q6_k"};
  return names[static_cast<int>(type)];
}

// The upper half of a float32.
struct bf16 {
  uint16_t bits = 0;
};

inline float to_float(bf16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

// Round to nearest, ties to even; NaN stays NaN.
inline bf16 to_bf16(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16)};
}

// IEEE half precision.
struct f16 {
  uint16_t bits = 0;
};

inline float to_float(f16 x) {
  uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  uint32_t exponent = (x.bits >> 10) & 0x1fu;
  uint32_t mantissa = x.bits & 0x3ffu;
  if (exponent == 0) {  // zero and subnormal: mantissa * 2^-24
    float magnitude = static_cast<float>(mantissa) * 0x1.0p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  uint32_t bits =
      exponent == 31 ? 0x7f800000u | (mantissa << 13) : ((exponent + 112) << 23) | (mantissa << 13);
  return std::bit_cast<float>(sign | bits);
}

// Round to nearest, ties to even; numbers beyond the range become infinite; NaN stays NaN.
inline f16 to_f16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u)};
  if (magnitude >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // 65520 and more
  if (magnitude < 0x38800000u) {  // below 2^-14: a multiple of 2^-24, rounded by an addition
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(sum) - 0x3f000000u))};
  }
  const uint32_t odd = (magnitude >> 13) & 1;
  return {static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13))};
}

}  // namespace aviary
