#include "grammar/numbers.h"

#include <gtest/gtest.h>

#include <charconv>
#include <nlohmann/json.hpp>

namespace aviary::grammar {
namespace {

std::vector<std::string> spellings() {
  std::vector<std::string> all;
  for (int i = -1300; i <= 1300; ++i) {
    Decimal number{.negative = i < 0,
                   .whole = fmt::format("{}", std::abs(i) / 100),
                   .fraction = fmt::format("{:02}", std::abs(i) % 100)};
    all.push_back(text_of(number));
  }
  return all;
}

TEST(Numbers, ABoundIsThatOfTheNumber) {
  Work work;
  for (const double limit : {0.0, 7.0, -7.0, 0.5, -0.05, 9.99, 10.0, 12.34, -12.3}) {
    const Decimal decimal = *decimal_of(limit);
    const Dfa least = dfa_of_bound(Bound::least, decimal, work),
              most = dfa_of_bound(Bound::most, decimal, work);
    const Dfa above = dfa_of_bound(Bound::above, decimal, work),
              below = dfa_of_bound(Bound::below, decimal, work);
    for (const std::string& text : spellings()) {
      double value = 0;
      std::from_chars(text.data(), text.data() + text.size(), value);
      EXPECT_EQ(least.matches(text), value >= limit) << text << " >= " << limit;
      EXPECT_EQ(most.matches(text), value <= limit) << text << " <= " << limit;
      EXPECT_EQ(above.matches(text), value > limit) << text << " > " << limit;
      EXPECT_EQ(below.matches(text), value < limit) << text << " < " << limit;
    }
  }
}

TEST(Numbers, AMultipleIsThatOfTheNumber) {
  Work work;
  for (const int hundredths : {1, 3, 25, 50, 100, 250, 700}) {
    const Dfa dfa = *dfa_of_multiples(*decimal_of(hundredths / 100.0), work);
    const std::vector<std::string> texts = spellings();
    for (int i = -1300; i <= 1300; ++i) {
      const std::string& text = texts[static_cast<size_t>(i + 1300)];
      EXPECT_EQ(dfa.matches(text), i % hundredths == 0) << text << " of " << hundredths;
    }
  }
  EXPECT_FALSE(dfa_of_multiples(*decimal_of(0.123456), work).has_value());
}

TEST(Numbers, AreSpelledInOneWay) {
  Work work;
  const Dfa integers = dfa_of_integers(3, work), decimals = dfa_of_decimals(2, 4, work);
  for (const char* text : {"0", "7", "-7", "120"}) EXPECT_TRUE(integers.matches(text)) << text;
  for (const char* text : {"", "-", "-0", "01", "1.0", "1e2", "+1", "1234"})
    EXPECT_FALSE(integers.matches(text)) << text;
  for (const char* text : {"0", "-0.5", "10.25", "-7"}) EXPECT_TRUE(decimals.matches(text)) << text;
  for (const char* text : {".5", "1.", "00.5", "1.2345", "10.234", "100"})
    EXPECT_FALSE(decimals.matches(text)) << text;
  EXPECT_EQ(text_of(*decimal_of(1e21)), "1000000000000000000000");
  EXPECT_EQ(text_of(*decimal_of(-0.000125)), "-0.000125");
  EXPECT_EQ(text_of(*decimal_of(12.0)), "12");
}

}  // namespace
}  // namespace aviary::grammar
