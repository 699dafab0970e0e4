// aviary schedule: the program on logs of runs.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "program.h"

namespace aviary::program {
namespace {

class ScheduleFit : public testing::Test {
 protected:
  ScheduleFit() {
    for (const char* name : {"a.csv", "b.csv", "c.csv"}) {
      std::ofstream file(folder_ / name);
      file << "step,lr,loss\n";
      const double end = name[0] == 'a' ? 1e-3 : name[0] == 'b' ? 1e-4 : 5e-4;
      for (int i = 1; i <= 200; ++i) {
        const double rate = 1e-3 + (end - 1e-3) * i / 200, area = 10 * i * (1e-3 + rate) / 2;
        file << fmt::format("{},{},{}\n", 10 * i, rate, 2 + 0.5 * std::pow(area, -0.4) - 80 * (1e-3 - rate));
      }
    }
  }
  Outcome fit(const Arguments& arguments) const {
    return run(folder_.path(), Arguments{"schedule", "fit"} + arguments);
  }
  const TestFolder folder_;
};

TEST_F(ScheduleFit, PredictsARunThatWasNotFittedAndDrawsBoth) {
  const Outcome outcome = fit({"a.csv", "b.csv", "--test", "c.csv", "a.csv", "--json", "--plot", "l.svg",
                               "--plot-rates", "r.svg", "--steps", "1000"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);
  ASSERT_EQ(json["tested"].size(), 2u);
  EXPECT_EQ(json["tested"][0]["file"], "c.csv");
  EXPECT_LT(json["tested"][0]["mean_relative_error"], 0.01);
  ASSERT_EQ(json["horizons"].size(), 1u);
  EXPECT_TRUE(json["horizons"][0]["proposed"].contains("schedule"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "l.svg") && std::filesystem::exists(folder_ / "r.svg"));
}

TEST_F(ScheduleFit, FilesThatAreNoLogsAreRefused) {
  expect_refusal(fit({"missing.csv"}), {"missing.csv"});
  expect_refusal(fit({"a.csv", "--plot", "a.csv"}), {"a.csv"});
  expect_refusal(fit({"a.csv", "--skip", "1990"}), {"skip fewer steps"});
}

}  // namespace
}  // namespace aviary::program
