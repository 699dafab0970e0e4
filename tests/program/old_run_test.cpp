// Runs started by older programs can be resumed (tests/data/README.md).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "program.h"
#include "support/repository.h"

namespace aviary::program {
namespace {

using Json = nlohmann::json;

// log.jsonl as one object per line.
std::vector<Json> lines_of(const fs::path& log) {
  std::vector<Json> lines;
  std::istringstream stream(read(log));
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

class OldRun : public testing::Test {
 protected:
  // The run and its text in a folder of this test; a config names its text by the place where it lay.
  OldRun() {
    fs::copy(kept_ / "run", folder_ / "run");
    fs::copy(kept_ / "text.txt", folder_ / "text.txt");
    change_config([&](Json& config) { config["text"] = (folder_ / "text.txt").string(); });
  }

  template <typename Change>
  void change_config(Change change) const {
    Json config = Json::parse(read(folder_ / "run/config.json"));
    change(config);
    write(folder_ / "run/config.json", config.dump());
  }

  const fs::path kept_ = repository() / "tests/data/run-0.1";
  const TestFolder folder_;
};

TEST_F(OldRun, GoesOnAsTheProgramThatBeganItWouldHave) {
  expect_success(run(folder_.path(), {"train", "--resume", "run", "--threads", "1"}));
  const std::vector<Json> ours = lines_of(folder_ / "run/log.jsonl"),
                          theirs = lines_of(kept_ / "finished.jsonl");
  ASSERT_EQ(ours.size(), theirs.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    EXPECT_EQ(ours[i]["step"], theirs[i]["step"]);
    EXPECT_EQ(ours[i]["learning_rate"], theirs[i]["learning_rate"]);
    const double loss = theirs[i]["loss"], norm = theirs[i]["gradient_norm"];
    EXPECT_NEAR(ours[i]["loss"].get<double>(), loss, 1e-4) << "step " << i + 1;
    EXPECT_NEAR(ours[i]["gradient_norm"].get<double>(), norm, 1e-3 * norm) << "step " << i + 1;
  }
}

TEST_F(OldRun, ASettingThatNobodyKnowsIsRefusedByName) {
  change_config([](Json& config) { config["wings"] = 2; });
  const auto before = files_below(folder_.path());
  expect_refusal(run(folder_.path(), {"train", "--resume", "run"}), {"config.json", "wings"});
  EXPECT_EQ(files_below(folder_.path()), before);
}

}  // namespace
}  // namespace aviary::program
