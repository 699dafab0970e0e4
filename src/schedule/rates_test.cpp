#include "schedule/rates.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace aviary {
namespace {

TEST(RateCurve, TheRateRisesFromZeroBeforeTheFirstPoint) {
  const RateCurve rates({{100, 1e-3}, {200, 1e-3}});
  EXPECT_DOUBLE_EQ(rates.rate(50), 5e-4);
  EXPECT_DOUBLE_EQ(rates.area(100), 0.05);
  EXPECT_DOUBLE_EQ(rates.area(300), 0.25);
  EXPECT_EQ(rates.warm_up(), 100);
}

TEST(RateCurve, AJumpIsFoundAtTheStepThatHasTheNewRate) {
  std::vector<RatePoint> logged;
  for (int step = 10; step <= 1000; step += 10) logged.push_back({double(step), step < 500 ? 3e-4 : 9e-5});
  const RateCurve rates = RateCurve::through(logged);
  EXPECT_DOUBLE_EQ(rates.rate(499.9), 3e-4);
  EXPECT_DOUBLE_EQ(rates.rate(500), 9e-5);
  EXPECT_LE(rates.points().size(), 6u);
}

TEST(RateCurve, FewPointsDescribeALongLog) {
  std::vector<RatePoint> logged;
  for (int step = 1; step <= 5000; ++step)
    logged.push_back({double(step), 1e-4 + 9e-4 * (0.5 + 0.5 * std::cos(3.14159265 * step / 5000))});
  const RateCurve rates = RateCurve::through(logged);
  EXPECT_LT(rates.points().size(), 60u);
  double area = 0;
  for (const RatePoint& point : logged) area += point.rate;
  EXPECT_NEAR(rates.area(5000), area, area * 1e-3);
  for (const RatePoint& point : logged) EXPECT_NEAR(rates.rate(point.step), point.rate, 1.1e-6);
}

TEST(RateCurve, RatesThatCannotBeAreRefused) {
  EXPECT_THROW(RateCurve(std::vector<RatePoint>{}), Error);
  EXPECT_THROW(RateCurve({{10, -1e-3}}), Error);
  EXPECT_THROW(RateCurve({{10, 0}, {20, 0}}), Error);
  EXPECT_THROW(RateCurve({{20, 1e-3}, {10, 1e-3}}), Error);
}

}  // namespace
}  // namespace aviary
