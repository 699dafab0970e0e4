#include "schedule/loss_curve.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace aviary {
namespace {

std::string csv(int points) {
  std::string text = "step,lr,loss\r\n";
  for (int i = 1; i <= points; ++i) text += fmt::format("{},0.001,{}\r\n", 10 * i, 5.0 - 0.01 * i);
  return text;
}

std::string error_of(const std::string& text) {
  try {
    read_loss_curve(text, "log");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(LossCurve, ReadsCsvWithItsColumnsInAnyOrder) {
  std::string text = "loss, other ,step,lr\n";
  for (int i = 1; i <= 30; ++i) text += fmt::format("{},x,{},0.002\n", 4.0 - 0.01 * i, i);
  const LossCurve curve = read_loss_curve(text, "log");
  ASSERT_EQ(curve.points.size(), 30u);
  EXPECT_DOUBLE_EQ(curve.points[9].step, 10);
  EXPECT_DOUBLE_EQ(curve.points[9].loss, 3.9);
  EXPECT_DOUBLE_EQ(curve.rates.highest(), 0.002);
}

TEST(LossCurve, ReadsTheLogOfARunAndLeavesOutLinesWithoutALoss) {
  std::string text;
  for (int i = 1; i <= 30; ++i)
    text += i == 7 ? std::string("{\"step\":7,\"tokens\":1,\"learning_rate\":0.001}\n")
                   : fmt::format("{{\"step\":{},\"loss\":{},\"learning_rate\":0.001}}\n", i, 4 - 0.01 * i);
  text += "{\"step\":31,\"lo";  // killed while it wrote
  EXPECT_EQ(read_loss_curve(text, "log").points.size(), 29u);
}

TEST(LossCurve, MeansOfALongRunKeepItsSum) {
  const LossCurve curve = read_loss_curve(csv(100), "log");
  const std::vector<LossPoint> few = curve.thinned(0, 10);
  ASSERT_EQ(few.size(), 10u);
  EXPECT_DOUBLE_EQ(few[0].step, 55);
  EXPECT_NEAR(few[0].loss, 5.0 - 0.055, 1e-12);
  EXPECT_EQ(curve.thinned(500, 1000).size(), 51u);
}

TEST(LossCurve, WhatIsNoLogIsRefusedWithItsLine) {
  EXPECT_NE(error_of("a,b\n1,2\n").find("names the columns step, lr and loss"), std::string::npos);
  EXPECT_NE(error_of(csv(30) + "5000,x,3\n").find("log:32: expected a number, got 'x'"), std::string::npos);
  EXPECT_NE(error_of(csv(30) + "5000,0.1\n").find("log:32: has 2 fields, expected at least 3"),
            std::string::npos);
  EXPECT_NE(error_of(csv(30) + "20,0.1,3\n").find("steps must increase"), std::string::npos);
  EXPECT_NE(error_of(csv(30) + "5000,0.1,-3\n").find("a positive loss"), std::string::npos);
  EXPECT_NE(error_of(csv(5)).find("has 5 points with a loss, at least 20 are needed"), std::string::npos);
  EXPECT_NE(error_of("").find("at least 20"), std::string::npos);
  EXPECT_NE(error_of(csv(30) + "5000,0.1,nan\n").find("expected a number"), std::string::npos);
}

}  // namespace
}  // namespace aviary
