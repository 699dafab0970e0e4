#include "base/difference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace aviary {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();

TEST(Difference, IsTheLargestOfAll) {
  EXPECT_EQ(largest_difference({}, {}), 0);
  EXPECT_EQ(largest_difference({1, 5, 3}, {1, 2, 3.5}), 3);
}

TEST(Difference, IsInfiniteWhenTheLengthsDiffer) { EXPECT_EQ(largest_difference({1}, {1, 2}), infinite); }

TEST(Difference, KeepsNaNAtAnyPosition) {
  EXPECT_TRUE(std::isnan(largest_difference({nan, 2, 3}, {1, 2, 3.5})));
  EXPECT_TRUE(std::isnan(largest_difference({1, nan, 3.5}, {1, 2, 3})));
  EXPECT_TRUE(std::isnan(largest_difference({1, 2, 3.5}, {1, 2, nan})));
}

TEST(Difference, TheLargerOfANumberAndNaNIsNaN) {
  EXPECT_EQ(larger(1, 2), 2);
  EXPECT_EQ(larger(2, 1), 2);
  EXPECT_TRUE(std::isnan(larger(nan, 1)));
  EXPECT_TRUE(std::isnan(larger(1, nan)));
}

}  // namespace
}  // namespace aviary
