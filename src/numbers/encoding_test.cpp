#include "numbers/encoding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/random.h"

namespace aviary {
namespace {

std::vector<float> normal_values(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = static_cast<float>(random.normal());
  return numbers;
}

TEST(Half, EveryHalfSurvivesConversionToFloat) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const f16 half{static_cast<uint16_t>(bits)};
    const float value = to_float(half);
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(to_float(to_f16(value))));
    else
      ASSERT_EQ(to_f16(value).bits, half.bits) << value;
  }
}

TEST(Half, RoundsToTheNearestAndTiesToEven) {
  for (uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = to_float(f16{bits}), high = to_float(f16{static_cast<uint16_t>(bits + 1)});
    const float middle = low + (high - low) / 2;
    const uint16_t even = bits % 2 == 0 ? bits : static_cast<uint16_t>(bits + 1);
    ASSERT_EQ(to_f16(middle).bits, even);
    ASSERT_EQ(to_f16(-middle).bits, even | 0x8000);
    ASSERT_EQ(to_f16(std::nextafter(middle, low)).bits, bits);
    ASSERT_EQ(to_f16(std::nextafter(middle, high)).bits, bits + 1);
  }
}

TEST(Half, IsInfiniteBeyondItsRange) {
  EXPECT_EQ(to_float(to_f16(65519.99f)), 65504.0f);
  EXPECT_EQ(to_float(to_f16(65520.0f)), std::numeric_limits<float>::infinity());
  EXPECT_EQ(to_float(to_f16(-1e30f)), -std::numeric_limits<float>::infinity());
}

TEST(Encoding, PlainTypesKeepRepresentableNumbers) {
  const std::vector<float> numbers = {0, 1, -2.5f, 0.15625f};
  for (Dtype type : {Dtype::f32, Dtype::f64, Dtype::f16, Dtype::bf16}) {
    std::vector<std::byte> data(static_cast<size_t>(bytes_of(type, 4)));
    encode(numbers, type, data.data());
    std::vector<float> back(4);
    decode(type, data.data(), std::span(back));
    EXPECT_EQ(back, numbers) << name_of(type);
  }
}

TEST(Encoding, NumbersCannotBeStoredAsIntegers) {
  std::vector<float> numbers(1);
  std::byte data[8];
  EXPECT_THROW(encode(numbers, Dtype::i32, data), Error);
}

TEST(Encoding, DoublesAndFloatsOfABlockAreTheSame) {
  const std::vector<float> numbers = normal_values(256, 3);
  for (Dtype type : block_types) {
    std::vector<std::byte> data(static_cast<size_t>(bytes_of(type, 256)));
    encode(numbers, type, data.data());
    std::vector<float> floats(256);
    std::vector<double> doubles(256);
    decode(type, data.data(), std::span(floats));
    decode(type, data.data(), std::span(doubles));
    for (size_t i = 0; i < floats.size(); ++i) ASSERT_EQ(static_cast<double>(floats[i]), doubles[i]);
  }
}

}  // namespace
}  // namespace aviary
