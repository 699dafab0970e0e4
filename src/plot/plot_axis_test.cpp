#include "plot/plot_axis.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace aviary {
namespace {

std::vector<std::string> labels(const Axis& axis, int most) {
  std::vector<std::string> labels;
  for (const Tick& tick : axis.ticks(most)) labels.push_back(tick.label);
  return labels;
}
using Labels = std::vector<std::string>;

TEST(PlotAxis, LinearTicksAreMultiplesOf1Or2Or5) {
  EXPECT_EQ(labels(Axis(0, 10, false), 5), (Labels{"0", "2", "4", "6", "8", "10"}));
  EXPECT_EQ(labels(Axis(0, 1, false), 10),
            (Labels{"0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0"}));
  EXPECT_EQ(labels(Axis(-1.3, 3.1, false), 6), (Labels{"-1", "0", "1", "2", "3"}));
  EXPECT_EQ(labels(Axis(2.31, 2.79, false), 6), (Labels{"2.4", "2.5", "2.6", "2.7"}));
  auto ticks = Axis(0, 1, false).ticks(10);
  EXPECT_EQ(ticks[3].value, 0.3);  // not 3 * 0.1
}

TEST(PlotAxis, LargeAndSmallNumbersStayShort) {
  EXPECT_EQ(labels(Axis(0, 49e6, false), 5), (Labels{"0", "10M", "20M", "30M", "40M"}));
  EXPECT_EQ(labels(Axis(0, 2e6, false), 4), (Labels{"0", "0.5M", "1.0M", "1.5M", "2.0M"}));
  EXPECT_EQ(labels(Axis(0, 9000, false), 3), (Labels{"0", "5000"}));
  EXPECT_EQ(labels(Axis(1e6, 1000003, false), 3), (Labels{"1000000", "1000001", "1000002", "1000003"}));
  EXPECT_EQ(labels(Axis(0, 6e-4, false), 3), (Labels{"0", "0.0002", "0.0004", "0.0006"}));
  EXPECT_EQ(labels(Axis(0, 3e-5, false), 3), (Labels{"0", "1e-5", "2e-5", "3e-5"}));
  EXPECT_EQ(labels(Axis(0, 3e20, false), 3), (Labels{"0", "1e20", "2e20", "3e20"}));
  EXPECT_EQ(labels(Axis(0.9e-5, 1.1e-5, false), 4),
            (Labels{"9.0e-6", "9.5e-6", "1.00e-5", "1.05e-5", "1.10e-5"}));
}

TEST(PlotAxis, LogarithmicTicksArePowersOfTen) {
  EXPECT_EQ(labels(Axis(1, 100000, true), 6), (Labels{"1", "10", "100", "1k", "10k", "100k"}));
  EXPECT_EQ(labels(Axis(1, 100, true), 8), (Labels{"1", "2", "5", "10", "20", "50", "100"}));
  EXPECT_EQ(labels(Axis(0.0002, 3, true), 6), (Labels{"0.001", "0.01", "0.1", "1"}));
  EXPECT_EQ(labels(Axis(1e-12, 1e12, true), 5), (Labels{"1e-10", "1e-5", "1", "100k", "10G"}));
  // Less than a decade: round numbers instead.
  EXPECT_EQ(labels(Axis(2, 8.5, true), 4), (Labels{"2", "4", "6", "8"}));
}

TEST(PlotAxis, MapsValuesToTheUnitInterval) {
  EXPECT_DOUBLE_EQ(Axis(2, 6, false).position(3), 0.25);
  EXPECT_DOUBLE_EQ(Axis(1, 10000, true).position(10), 0.25);
  EXPECT_DOUBLE_EQ(Axis(0, 10, false, 0.1).low(), -1);
  EXPECT_DOUBLE_EQ(Axis(0, 10, false, 0.1).position(5), 0.5);
}

TEST(PlotAxis, ASingleValueIsInTheMiddle) {
  for (double value : {0.0, 3.0, -7.0, 1e100, -1e-100, 5e-324}) {
    EXPECT_DOUBLE_EQ(Axis(value, value, false).position(value), 0.5) << value;
    EXPECT_GE(Axis(value, value, false).ticks(5).size(), 2u) << value;
  }
  EXPECT_DOUBLE_EQ(Axis(3, 3, true).position(3), 0.5);
  EXPECT_GE(Axis(3, 3, true).ticks(5).size(), 2u);
}

TEST(PlotAxis, TicksAreFewAndInsideForAnyRange) {
  Random random(3);
  for (int round = 0; round < 20000; ++round) {
    bool logarithmic = round % 2 == 0;
    auto value = [&] {
      return std::pow(10.0, random.uniform(-99, 99)) * (logarithmic || random.below(2) ? 1 : -1);
    };
    double low = value(), high = round % 3 ? value() : low * random.uniform(0.5, 2);
    if (low > high) std::swap(low, high);
    Axis axis(low, high, logarithmic);
    int most = 3 + static_cast<int>(random.below(20));
    auto ticks = axis.ticks(most);
    ASSERT_LE(ticks.size(), static_cast<size_t>(most) + 1) << low << " to " << high;
    ASSERT_GE(ticks.size(), 1u) << low << " to " << high << " most " << most;
    for (size_t i = 0; i < ticks.size(); ++i) {
      ASSERT_NEAR(axis.position(ticks[i].value), 0.5, 0.5 + 1e-5) << low << " to " << high;
      ASSERT_LE(ticks[i].label.size(), 24u);
      ASSERT_TRUE(i == 0 || ticks[i].label != ticks[i - 1].label) << low << " to " << high;
    }
  }
}

}  // namespace
}  // namespace aviary
