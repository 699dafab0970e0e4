#include "page/run_curve.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "support/test_folder.h"

namespace aviary {
namespace {

constexpr int64_t everything = int64_t{1} << 40;

std::string line(int64_t step) {
  return fmt::format(
             R"({{"step":{},"tokens":{},"loss":{},"learning_rate":0.001,"gradient_norm":1,"seconds":0.5}})",
             step, step * 100, 4 + std::sin(static_cast<double>(step))) +
         "\n";
}

class RunCurveTest : public testing::Test {
 protected:
  void append(const std::string& text) { std::ofstream(file, std::ios::app) << text; }
  void write(int64_t first, int64_t last) {
    std::string text;
    for (int64_t step = first; step <= last; ++step) text += line(step);
    append(text);
  }

  TestFolder folder;
  const std::filesystem::path file = folder / "log.jsonl";
  RunCurve curve{file};
};

TEST_F(RunCurveTest, WithEnoughPointsTheyAreTheLinesOfTheLog) {
  write(1, 20);
  EXPECT_EQ(curve.read_on(everything), 1);
  const Curve all = curve.curve({.points = 1000});
  ASSERT_EQ(all.points.size(), 20u);
  for (int64_t step = 1; step <= 20; ++step) {
    const CurvePoint& point = all.points[static_cast<size_t>(step - 1)];
    EXPECT_EQ(point.step, step);
    EXPECT_FLOAT_EQ(static_cast<float>(point.loss),
                    static_cast<float>(4 + std::sin(static_cast<double>(step))));
    if (step > 1) {
      EXPECT_DOUBLE_EQ(point.tokens_per_second, 200);
    }
  }
  EXPECT_EQ(curve.curve({.axis = CurveAxis::tokens, .points = 1000}).points.back().x, 2000);
  EXPECT_EQ(curve.curve({.axis = CurveAxis::time, .points = 1000}).points.back().x, 10);
}

TEST_F(RunCurveTest, FewPointsKeepMeansAndExtremes) {
  write(1, 10000);
  curve.read_on(everything);
  const Curve few = curve.curve({.points = 10});
  ASSERT_EQ(few.points.size(), 10u);
  for (const CurvePoint& point : few.points) {
    EXPECT_NEAR(point.loss, 4, 0.01);
    EXPECT_NEAR(point.least, 3, 1e-3);
    EXPECT_NEAR(point.most, 5, 1e-3);
  }
  const Curve part = curve.curve({.from = 101, .to = 200, .points = 1000});
  ASSERT_EQ(part.points.size(), 100u);
  EXPECT_EQ(part.points.front().step, 101);
  const Curve logarithmic = curve.curve({.log_axis = true, .points = 4});  // 1, 10, 100, 1000, 10000
  ASSERT_EQ(logarithmic.points.size(), 4u);
  EXPECT_NEAR(static_cast<double>(logarithmic.points[1].step), 99, 1);
}

TEST_F(RunCurveTest, SmoothingIsThatOfAllStepsHoweverFewPointsThereAre) {
  write(1, 1000);
  curve.read_on(everything);
  const Curve fine = curve.curve({.points = 4000, .smooth = 50}),
              coarse = curve.curve({.points = 5, .smooth = 50});
  EXPECT_DOUBLE_EQ(fine.points.back().smooth, coarse.points.back().smooth);
  EXPECT_NEAR(coarse.points.back().smooth, 4, 0.05);
}

TEST_F(RunCurveTest, ALogIsReadPieceByPieceWhileItGrows) {
  write(1, 3000);
  const double first = curve.read_on(1);
  EXPECT_GT(first, 0);
  EXPECT_LT(first, 1);
  while (curve.read_on(1) < 1) {
  }
  EXPECT_EQ(curve.curve({}).steps, 3000);
  append(R"({"step":3001,"tok)");  // is being written
  curve.read_on(everything);
  EXPECT_EQ(curve.curve({}).steps, 3000);
  append("ens\":7}\n");
  curve.read_on(everything);
  EXPECT_EQ(curve.curve({}).steps, 3001);
  EXPECT_EQ(curve.curve({}).broken, 0);
}

TEST_F(RunCurveTest, AFileThatWasWrittenAnewIsReadAnew) {
  write(1, 100);
  curve.read_on(everything);
  std::filesystem::remove(file);
  write(41, 300);  // longer than before
  curve.read_on(everything);
  EXPECT_EQ(curve.curve({}).steps, 260);
  std::filesystem::remove(file);
  EXPECT_EQ(curve.read_on(everything), 1);
  EXPECT_EQ(curve.curve({}).steps, 0);
}

TEST_F(RunCurveTest, BrokenLinesAreCountedAndDoNoHarm) {
  append("no json\n{\"step\":\"<script>\"}\n{\"step\":-4}\n{\"step\":1e300}\n[1]\n\n");
  append(std::string(300000, '[') + "\n");
  append("{\"step\":1,\"loss\":\"x\",\"seconds\":-1e308,\"tokens\":null}\n{\"step\":2,\"loss\":1e400}\n");
  write(3, 4);
  while (curve.read_on(1) < 1) {
  }
  const Curve told = curve.curve({.points = 100});
  EXPECT_EQ(told.steps, 3);  // 1e400 is no number in JSON
  EXPECT_EQ(told.broken, 7);
  EXPECT_TRUE(std::isnan(told.points[0].loss));
  EXPECT_EQ(told.points.back().step, 4);
}

TEST_F(RunCurveTest, NormsOfLayersAreMeansOverTheStepsThatHaveThem) {
  write(1, 9);
  EXPECT_EQ(curve.layer_norms({}).rows, 0);  // as older logs have none
  for (int64_t step = 10; step <= 40; ++step)
    append(fmt::format("{{\"step\":{},\"tokens\":{}{}}}\n", step, step * 100,
                       step % 10 == 0 ? fmt::format(",\"layer_norms\":[{},null,2]", step) : ""));
  curve.read_on(everything);
  const LayerNorms all = curve.layer_norms({.axis = CurveAxis::tokens});
  EXPECT_EQ(all.rows, 3);
  EXPECT_EQ(all.step, (std::vector<int64_t>{10, 20, 30, 40}));
  EXPECT_EQ(all.x, (std::vector<double>{1000, 2000, 3000, 4000}));
  ASSERT_EQ(all.norms.size(), 12u);
  EXPECT_EQ(all.norms[3], 20);
  EXPECT_TRUE(std::isnan(all.norms[4]));
  EXPECT_EQ(all.norms[5], 2);
  const LayerNorms part = curve.layer_norms({.from = 15, .to = 40, .points = 1});
  EXPECT_EQ(part.step, (std::vector<int64_t>{40}));
  ASSERT_EQ(part.norms.size(), 3u);
  EXPECT_EQ(part.norms[0], 30);
  EXPECT_TRUE(std::isnan(part.norms[1]));
}

TEST_F(RunCurveTest, NormsThatAreNoneDoNoHarm) {
  append("{\"step\":1,\"layer_norms\":[1,2]}\n{\"step\":2,\"layer_norms\":[1,2,3]}\n");
  append("{\"step\":3,\"layer_norms\":\"<b>\"}\n{\"step\":4,\"layer_norms\":[]}\n");
  append("{\"step\":5,\"layer_norms\":[\"3\",{}]}\n");
  curve.read_on(everything);
  const LayerNorms norms = curve.layer_norms({});
  EXPECT_EQ(curve.curve({}).steps, 5);
  EXPECT_EQ(norms.rows, 2);
  EXPECT_EQ(norms.step, (std::vector<int64_t>{1, 5}));
  EXPECT_EQ(norms.norms[1], 2);
  EXPECT_TRUE(std::isnan(norms.norms[2]));
}

TEST_F(RunCurveTest, ValidationsAreAllThere) {
  write(1, 5);
  append("{\"step\":6,\"tokens\":600,\"validation_bits_per_byte\":1.5}\n");
  curve.read_on(everything);
  const Curve told = curve.curve({.axis = CurveAxis::tokens});
  ASSERT_EQ(told.validations.size(), 1u);
  EXPECT_EQ(told.validations[0].x, 600);
  EXPECT_EQ(told.validations[0].bits_per_byte, 1.5);
}

}  // namespace
}  // namespace aviary
