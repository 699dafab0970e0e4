#include "train/log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

std::vector<nlohmann::json> lines_of(const std::filesystem::path& folder) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(folder / "log.jsonl");
  for (std::string line; std::getline(file, line);) lines.push_back(parse_json(line, "log.jsonl"));
  return lines;
}

TEST(RunLog, NormsOfLayersAreWrittenAfterTheFirstAndEveryTenthStep) {
  const TestFolder folder;
  RunLog log(folder.path(), 0);
  const double norms[] = {0.123456, 7, std::nan(""), 1.5e-7, INFINITY};
  for (int64_t step = 1; step <= 20; ++step) log.add({.step = step, .loss = 2}, 8, norms);
  const std::vector<nlohmann::json> lines = lines_of(folder.path());
  ASSERT_EQ(lines.size(), 20u);
  for (const nlohmann::json& line : lines) {
    const int64_t step = line["step"];
    EXPECT_EQ(line.contains("layer_norms"), step == 1 || step % 10 == 0) << step;
  }
  EXPECT_EQ(lines[9]["layer_norms"], parse_json("[0.1235,7.0,null,1.5e-07,null]", "expected"));
}

TEST(RunLog, LinesWithAndWithoutNormsOfLayersAreReadAndKept) {
  const TestFolder folder;
  std::ofstream(folder / "log.jsonl") << R"({"step":1,"loss":3.5,"gradient_norm":2,"seconds":1}
{"step":2,"loss":3.25,"gradient_norm":1,"layer_norms":[0.6,0.8],"seconds":1}
{"step":3,"loss":3}
)";
  RunLog log(folder.path(), 2);
  ASSERT_EQ(log.reports().size(), 2u);
  EXPECT_EQ(log.reports()[0].gradient_norm, 2);
  EXPECT_EQ(log.reports()[1].loss, 3.25);
  log.drop_repeated();
  log.add({.step = 3, .loss = 2.75}, 8);
  const std::vector<nlohmann::json> lines = lines_of(folder.path());
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1]["layer_norms"], nlohmann::json::array({0.6, 0.8}));
  EXPECT_EQ(lines[2]["loss"], 2.75);
}

}  // namespace
}  // namespace aviary
