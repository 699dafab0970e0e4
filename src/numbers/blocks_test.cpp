#include "numbers/blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"
#include "base/threads.h"
#include "numbers/encoding.h"

namespace aviary {
namespace {

using Numbers = std::vector<float>;
using Data = std::vector<std::byte>;

Numbers normal_numbers(size_t count, uint64_t seed, float scale = 1) {
  Random random(seed);
  Numbers numbers(count);
  for (float& number : numbers) number = scale * static_cast<float>(random.normal());
  return numbers;
}

Data encoded(Dtype type, const Numbers& numbers) {
  Data data(static_cast<size_t>(bytes_of(type, std::ssize(numbers))));
  encode(numbers, type, data.data());
  return data;
}

Numbers decoded(Dtype type, const Data& data) {
  const Block block = block_of(type);
  Numbers numbers(data.size() / static_cast<size_t>(block.bytes) * static_cast<size_t>(block.elements));
  decode(type, data.data(), std::span(numbers));
  return numbers;
}

Numbers round_trip(Dtype type, const Numbers& numbers) { return decoded(type, encoded(type, numbers)); }

double relative_rms(const Numbers& a, const Numbers& b) {
  double lost = 0, squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), difference = static_cast<double>(b[i]) - x;
    lost += difference * difference;
    squares += x * x;
  }
  return std::sqrt(lost / squares);
}

// Builds a block byte by byte.
struct Bytes {
  Data data;

  Bytes& half(float x) {
    const uint16_t bits = to_f16(x).bits;
    return byte(bits & 255).byte(bits >> 8);
  }
  Bytes& byte(int value) {
    data.push_back(static_cast<std::byte>(value));
    return *this;
  }
  template <typename Value>
  Bytes& bytes(int count, Value value) {
    for (int i = 0; i < count; ++i) byte(value(i));
    return *this;
  }
};

// ---- The layouts, each tested with a block written byte by byte.

TEST(Blocks, Q8HasAScaleAnd32SignedBytes) {
  const Data data = Bytes().half(0.25f).bytes(32, [](int i) { return i < 16 ? i * 8 : 256 - i; }).data;
  const Numbers x = decoded(Dtype::q8_0, data);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(x[i], 0.25f * static_cast<float>(i < 16 ? i * 8 : -i)) << i;
}

TEST(Blocks, Q4HasTheFirstHalfInTheLowNibbles) {
  auto nibbles = [](int i) { return (15 - i) << 4 | i; };
  const Numbers without = decoded(Dtype::q4_0, Bytes().half(-0.5f).bytes(16, nibbles).data);
  const Numbers with = decoded(Dtype::q4_1, Bytes().half(-0.5f).half(3).bytes(16, nibbles).data);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(without[i], -0.5f * static_cast<float>(i - 8)) << i;
    EXPECT_EQ(without[i + 16], -0.5f * static_cast<float>(7 - i)) << i;
    EXPECT_EQ(with[i], 3 - 0.5f * static_cast<float>(i)) << i;
    EXPECT_EQ(with[i + 16], 3 - 0.5f * static_cast<float>(15 - i)) << i;
  }
}

TEST(Blocks, Q5HasTheFifthBitsInOneWord) {
  auto nibbles = [](int i) { return (15 - i) << 4 | i; };
  // Bits 0, 5, 10, 15 and 16, 20, 24, 28.
  auto high = [](Bytes bytes) { return bytes.byte(0x21).byte(0x84).byte(0x11).byte(0x11); };
  const Numbers without = decoded(Dtype::q5_0, high(Bytes().half(2)).bytes(16, nibbles).data);
  const Numbers with = decoded(Dtype::q5_1, high(Bytes().half(2).half(-7)).bytes(16, nibbles).data);
  for (int i = 0; i < 16; ++i) {
    const int first = i + (i % 5 == 0 ? 16 : 0), second = 15 - i + (i % 4 == 0 ? 16 : 0);
    EXPECT_EQ(without[i], 2 * static_cast<float>(first - 16)) << i;
    EXPECT_EQ(without[i + 16], 2 * static_cast<float>(second - 16)) << i;
    EXPECT_EQ(with[i], 2 * static_cast<float>(first) - 7) << i;
    EXPECT_EQ(with[i + 16], 2 * static_cast<float>(second) - 7) << i;
  }
}

// Scales 1, 2, 3, 63, 17 (01 0001), 34 (10 0010), 51 (11 0011), 60 (11 1100) and minima 5, 6, 7, 8,
// 16 (01 0000), 33 (10 0001), 50 (11 0010), 63 (11 1111).
constexpr int scales[8] = {1, 2, 3, 63, 17, 34, 51, 60}, minima[8] = {5, 6, 7, 8, 16, 33, 50, 63};
constexpr int scales_and_minima[12] = {0x41, 0x82, 0xc3, 0xff, 0x45, 0x86,
                                       0xc7, 0xc8, 0x01, 0x12, 0x23, 0xfc};

TEST(Blocks, Q4KHasEightGroupsWithSixBitScalesAndMinima) {
  const Data data = Bytes()
                        .half(0.5f)
                        .half(0.25f)
                        .bytes(12, [](int i) { return scales_and_minima[i]; })
                        .bytes(128, [](int i) { return (i + 3) % 16 << 4 | (i + i / 32) % 16; })
                        .data;
  const Numbers x = decoded(Dtype::q4_k, data);
  for (int i = 0; i < 256; ++i) {
    const int g = i / 32, byte = g / 2 * 32 + i % 32;
    const int q = g % 2 == 0 ? (byte + byte / 32) % 16 : (byte + 3) % 16;
    EXPECT_EQ(x[i], 0.5f * static_cast<float>(scales[g] * q) - 0.25f * static_cast<float>(minima[g])) << i;
  }
}

TEST(Blocks, Q5KHasAFifthBitForEachGroupInEveryByte) {
  const Data data = Bytes()
                        .half(0.5f)
                        .half(0.25f)
                        .bytes(12, [](int i) { return scales_and_minima[i]; })
                        .bytes(32, [](int i) { return i * 7 % 256; })
                        .bytes(128, [](int i) { return (i + 3) % 16 << 4 | (i + i / 32) % 16; })
                        .data;
  const Numbers x = decoded(Dtype::q5_k, data);
  for (int i = 0; i < 256; ++i) {
    const int g = i / 32, byte = g / 2 * 32 + i % 32;
    const int low = g % 2 == 0 ? (byte + byte / 32) % 16 : (byte + 3) % 16;
    const int q = low + 16 * (i % 32 * 7 % 256 >> g & 1);
    EXPECT_EQ(x[i], 0.5f * static_cast<float>(scales[g] * q) - 0.25f * static_cast<float>(minima[g])) << i;
  }
}

TEST(Blocks, Q6KHasSixteenGroupsWithSignedScales) {
  const Data data = Bytes()
                        .bytes(128, [](int i) { return (i + 5) % 16 << 4 | (i + i / 32) % 16; })
                        .bytes(64, [](int i) { return i * 37 % 256; })
                        .bytes(16, [](int g) { return g % 2 == 0 ? 8 * g : 256 - 8 * g; })
                        .half(0.125f)
                        .data;
  const Numbers x = decoded(Dtype::q6_k, data);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
    const int byte = 64 * half + 32 * (quarter % 2) + l;
    const int low = quarter < 2 ? (byte + byte / 32) % 16 : (byte + 5) % 16;
    const int high = (32 * half + l) * 37 % 256 >> (2 * quarter) & 3;
    const int group = i / 16, scale = group % 2 == 0 ? 8 * group : -8 * group;
    EXPECT_EQ(x[i], 0.125f * static_cast<float>(scale * (low + 16 * high - 32))) << i;
  }
}

// ---- Encoding.

struct Bound {
  Dtype type;
  double rms;
};
// Errors of the encoders for normally distributed numbers. Simple rounding, with the scale chosen by the
// number of largest magnitude, gives 0.0054, 0.0379, 0.0427, 0.0782 and 0.0859 for the formats of 32 numbers.
constexpr Bound bounds[] = {{Dtype::q8_0, 0.0051}, {Dtype::q5_1, 0.0342}, {Dtype::q5_0, 0.0405},
                            {Dtype::q4_1, 0.0708}, {Dtype::q4_0, 0.0820}, {Dtype::q4_k, 0.0712},
                            {Dtype::q5_k, 0.0351}, {Dtype::q6_k, 0.0171}};

TEST(Blocks, TheErrorOnNormalNumbersIsSmall) {
  for (const Bound& bound : bounds)
    for (const float scale : {1.0f, -0.01f, 300.0f}) {
      const Numbers numbers = normal_numbers(1 << 16, 5, scale);
      const double rms = relative_rms(numbers, round_trip(bound.type, numbers));
      EXPECT_LT(rms, bound.rms) << name_of(bound.type) << " " << scale;
      EXPECT_GT(rms, bound.rms * 0.97) << name_of(bound.type) << " " << scale;
    }
}

TEST(Blocks, NumbersBelowTheNormalRangeOfF16KeepTheirRatios) {
  for (const Bound& bound : bounds) {
    const Numbers small = normal_numbers(1 << 14, 6, 1e-4f), smaller = normal_numbers(1 << 14, 6, 1e-6f);
    EXPECT_LT(relative_rms(small, round_trip(bound.type, small)), bound.rms * 1.1) << name_of(bound.type);
    EXPECT_LT(relative_rms(smaller, round_trip(bound.type, smaller)), bound.rms + 0.02)
        << name_of(bound.type);
  }
}

// Numbers that a block can hold exactly: every group uses its whole range of integers.
Numbers exact_numbers(Dtype type, Random& random) {
  const bool large = block_of(type).elements == 256;
  const size_t count = 256, group = type == Dtype::q6_k ? 16 : 32;
  const int bits = type == Dtype::q8_0 ? 8 : type == Dtype::q6_k ? 6 : name_of(type)[1] - '0';
  const bool centered =
      type == Dtype::q8_0 || type == Dtype::q6_k || type == Dtype::q5_0 || type == Dtype::q4_0;
  const int high = (1 << bits) - 1, middle = centered ? 1 << (bits - 1) : 0;
  Numbers numbers(count);
  for (size_t begin = 0; begin < count; begin += group) {
    const int scale = !large                ? 1
                      : begin > 0           ? 20 + static_cast<int>(random.below(40))
                      : type == Dtype::q6_k ? -128
                                            : 63;
    const int offset = centered ? 0 : large ? -(begin == 0 ? 63 : static_cast<int>(random.below(63))) : -9;
    for (size_t i = begin; i < begin + group; ++i) {
      int64_t q = i % group == 3 ? 0 : i % group == 7 ? high : random.below(high + 1);
      if (type == Dtype::q8_0) q = std::max<int64_t>(q, 1);  // -128 is not used
      numbers[i] = 0.0625f * static_cast<float>(scale * (q - middle) + 3 * offset);
    }
  }
  return numbers;
}

TEST(Blocks, RepresentableNumbersSurviveTheRoundTripExactly) {
  for (const Dtype type : block_types)
    for (uint64_t seed = 1; seed <= 50; ++seed) {
      Random random(seed);
      const Numbers numbers = exact_numbers(type, random), back = round_trip(type, numbers);
      for (size_t i = 0; i < numbers.size(); ++i)
        ASSERT_EQ(back[i], numbers[i]) << name_of(type) << ", seed " << seed << ", number " << i;
    }
}

TEST(Blocks, ZerosSurviveTheRoundTrip) {
  for (const Dtype type : block_types)
    EXPECT_EQ(round_trip(type, Numbers(512, 0.0f)), Numbers(512, 0.0f)) << name_of(type);
}

TEST(Blocks, TheErrorOfAConstantIsTheRoundingOfItsScale) {
  for (const Dtype type : block_types)
    for (const float constant : {1.0f, -1.0f, 0.3f, -1234.5f, 0.1f})
      for (const float back : round_trip(type, Numbers(256, constant)))
        ASSERT_NEAR(back, constant, std::abs(constant) * 0x1p-10f) << name_of(type);
}

TEST(Blocks, OneLargeNumberKeepsItsPositionAndSize) {
  for (const Dtype type : block_types)
    for (const size_t at : {0, 17, 255}) {
      Numbers numbers(256, 0.0f);
      numbers[at] = -5.25f;
      const Numbers back = round_trip(type, numbers);
      for (size_t i = 0; i < 256; ++i) ASSERT_NEAR(back[i], numbers[i], 0.01) << name_of(type) << " " << i;
    }
}

TEST(Blocks, DataAndNumbersMayBeUnaligned) {
  const Numbers numbers = normal_numbers(513, 7);
  for (const Dtype type : block_types) {
    const std::span<const float> part = std::span(numbers).subspan(1);
    const auto size = static_cast<size_t>(bytes_of(type, 512));
    Data aligned(size), shifted(size + 1);
    encode(part, type, aligned.data());
    encode(part, type, shifted.data() + 1);
    EXPECT_TRUE(std::equal(aligned.begin(), aligned.end(), shifted.begin() + 1)) << name_of(type);
    Numbers back(512), also(513);
    decode(type, aligned.data(), std::span(back));
    decode(type, shifted.data() + 1, std::span(also).subspan(1));
    EXPECT_TRUE(std::equal(back.begin(), back.end(), also.begin() + 1)) << name_of(type);
  }
}

TEST(Blocks, NaNBecomesZero) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Dtype type : block_types) {
    Numbers numbers = normal_numbers(256, 8);
    numbers[40] = 0;
    const Numbers expected = round_trip(type, numbers);
    numbers[40] = nan;
    EXPECT_EQ(round_trip(type, numbers), expected) << name_of(type);
    EXPECT_EQ(round_trip(type, Numbers(256, nan)), Numbers(256, 0.0f)) << name_of(type);
  }
}

TEST(Blocks, TooLargeNumbersBecomeTheLargestNumber) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const Dtype type : block_types)
    for (const float large : {infinity, 3e38f, 1e9f, -1e9f, -infinity}) {
      const Numbers back = round_trip(type, Numbers(256, large));
      for (const float x : back) {
        ASSERT_TRUE(std::isfinite(x)) << name_of(type);
        ASSERT_GT(x * std::copysign(1.0f, large), 65000.0f) << name_of(type);
      }
      Numbers mixed = normal_numbers(256, 9);
      mixed[100] = large;
      for (const float x : round_trip(type, mixed)) ASSERT_TRUE(std::isfinite(x)) << name_of(type);
    }
}

TEST(Blocks, AnyBytesCanBeDecodedAndAnyNumbersEncoded) {
  Random random(10);
  for (const Dtype type : block_types)
    for (int round = 0; round < 200; ++round) {
      Data data(static_cast<size_t>(bytes_of(type, 256)));
      for (std::byte& byte : data) byte = static_cast<std::byte>(random.below(256));
      for (const float x : round_trip(type, decoded(type, data))) ASSERT_TRUE(std::isfinite(x));
      Numbers numbers(256);
      for (float& x : numbers) x = std::bit_cast<float>(static_cast<uint32_t>(random.next()));
      for (const float x : round_trip(type, numbers)) ASSERT_TRUE(std::isfinite(x)) << name_of(type);
    }
}

TEST(Blocks, TheNumberOfThreadsDoesNotChangeTheResult) {
  const Numbers numbers = normal_numbers((1 << 18) + 256, 11);
  const int before = threads();
  for (const Dtype type : {Dtype::bf16, Dtype::q4_1, Dtype::q4_k}) {
    set_threads(1);
    const Data alone = encoded(type, numbers);
    const Numbers back = decoded(type, alone);
    set_threads(3);
    EXPECT_EQ(encoded(type, numbers), alone) << name_of(type);
    EXPECT_EQ(decoded(type, alone), back) << name_of(type);
  }
  set_threads(before);
}

}  // namespace
}  // namespace aviary
