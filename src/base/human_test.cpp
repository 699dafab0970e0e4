#include "base/human.h"

#include <gtest/gtest.h>

#include <limits>

namespace aviary {
namespace {

TEST(Human, WithCommasSeparatesThousands) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(-123456), "-123,456");
  EXPECT_EQ(with_commas(-1234567), "-1,234,567");
  EXPECT_EQ(with_commas(std::numeric_limits<int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(Human, BytesHaveThreeDigitsAndAUnit) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "0.98 KiB");
  EXPECT_EQ(human_bytes(1536), "1.50 KiB");
  EXPECT_EQ(human_bytes(10 * 1024), "10.0 KiB");
  EXPECT_EQ(human_bytes(1024 * 1024 - 1), "1.00 MiB");
  EXPECT_EQ(human_bytes(5896273469), "5.49 GiB");
  EXPECT_EQ(human_bytes(std::numeric_limits<int64_t>::max()), "8.00 EiB");
}

TEST(Human, DurationsHaveTwoUnits) {
  EXPECT_EQ(human_duration(0), "0 ms");
  EXPECT_EQ(human_duration(0.8404), "840 ms");
  EXPECT_EQ(human_duration(0.9999), "1.0 s");
  EXPECT_EQ(human_duration(7.26), "7.3 s");
  EXPECT_EQ(human_duration(59.4), "59 s");
  EXPECT_EQ(human_duration(59.6), "1 min 0 s");
  EXPECT_EQ(human_duration(192), "3 min 12 s");
  EXPECT_EQ(human_duration(7500), "2 h 5 min");
  EXPECT_EQ(human_duration(86400 * 3 + 3600 * 4 + 120), "3 d 4 h");
  EXPECT_EQ(human_duration(-1), "unknown");
  EXPECT_EQ(human_duration(std::numeric_limits<double>::infinity()), "unknown");
  EXPECT_EQ(human_duration(std::numeric_limits<double>::quiet_NaN()), "unknown");
}

TEST(Human, RatesHaveThreeDigits) {
  EXPECT_EQ(human_rate(21345.6, "tokens"), "21,300 tokens/s");
  EXPECT_EQ(human_rate(99999, "tokens"), "100,000 tokens/s");
  EXPECT_EQ(human_rate(123.6, "tokens"), "124 tokens/s");
  EXPECT_EQ(human_rate(3.254, "steps"), "3.25 steps/s");
  EXPECT_EQ(human_rate(0, "steps"), "0 steps/s");
}

TEST(Human, SizesAreReadAsPeopleWriteThem) {
  const std::pair<const char*, int64_t> sizes[] = {
      {"0", 0},          {"1000", 1000},         {"600M", 600'000'000}, {"1.5G", 1'500'000'000},
      {"0.3M", 300'000}, {"100MB", 100'000'000}, {"64MiB", 64 << 20},   {"1.5 gb", 1'500'000'000},
      {"2k", 2000},      {"2KiB", 2048},         {"2ki", 2048},         {"1T", 1'000'000'000'000},
      {"12B", 12},       {".5k", 500},           {"1.2344k", 1234}};
  for (const auto& [text, bytes] : sizes) EXPECT_EQ(parse_bytes(text), bytes) << text;
}

TEST(Human, ATextThatIsNoSizeIsNone) {
  for (const char* text : {"", "M", "-1", "-0", "-1M", "nan", "inf", "1e3", "0x10", "1MM", "1iB", "600Mx",
                           "600 M B", "1,5M", "99999999T", "1e400", " 5"})
    EXPECT_EQ(parse_bytes(text), std::nullopt) << text;
}

}  // namespace
}  // namespace aviary
