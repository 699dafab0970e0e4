// aviary compare: the same batches for all members, a report, and continuing after every kind of
// interruption.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/random.h"
#include "program.h"

namespace aviary::program {
namespace {

Arguments compare(const std::string& versions, const Arguments& more = {}) {
  return Arguments{"compare",     "text.txt", "--versions",  versions, "--out",    "family",
                   "--steps",     "20",       "--tokenizer", "bytes",  "--layers", "2",
                   "--width",     "16",       "--context",   "16",     "--batch",  "2",
                   "--precision", "f32",      "--threads",   "1"} +
         more;
}

// Step and value of each line of a table, without the times.
std::vector<std::string> without_seconds(const std::string& csv) {
  std::vector<std::string> lines;
  std::istringstream stream(csv);
  for (std::string line; std::getline(stream, line);) {
    std::vector<std::string> cells;
    std::istringstream row(line);
    for (std::string cell; std::getline(row, cell, ',');) cells.push_back(cell);
    lines.push_back(cells[0] + "," + cells[1] + "," + cells[2] + "," + cells.back());
  }
  return lines;
}

class Compare : public testing::Test {
 protected:
  Compare() { write(folder_ / "text.txt", prose(8000)); }

  TestFolder folder_;
};

TEST_F(Compare, WritesAReportAndItsNumbers) {
  const Outcome outcome = run(folder_.path(), compare("rwkv4,rwkv7"));
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("compare.html"), std::string::npos) << outcome.out;
  const std::string page = read(folder_ / "family/compare.html");
  EXPECT_NE(page.find("RWKV-7 Goose"), std::string::npos);
  EXPECT_EQ(page.find("not started"), std::string::npos);
  EXPECT_EQ(without_seconds(read(folder_ / "family/loss.csv")).size(), 41u);
  for (const char* file : {"members.csv", "validation.csv", "positions.csv", "tokens.svg", "time.svg"})
    EXPECT_TRUE(fs::exists(folder_ / "family" / file)) << file;
  // The folder of a member is an ordinary run folder.
  expect_success(run(folder_.path(), {"generate", "family/rwkv4", "--tokens", "3", "--threads", "1"}));
}

TEST_F(Compare, AllMembersGetTheSameBatches) {
  // The same version under two names gives the same numbers.
  expect_success(run(folder_.path(), compare("rwkv4,rwkv4+recipe=v4neo")));
  const std::vector<std::string> lines = without_seconds(read(folder_ / "family/loss.csv"));
  ASSERT_EQ(lines.size(), 41u);
  for (size_t i = 1; i <= 20; ++i)
    EXPECT_EQ(lines[i].substr(lines[i].find(',')), lines[i + 20].substr(lines[i + 20].find(',')));
  EXPECT_EQ(read(folder_ / "family/rwkv4/log.jsonl").find("nan"), std::string::npos);
}

TEST_F(Compare, FinishedMembersAreNotTrainedAgainAndOthersCanBeAdded) {
  expect_success(run(folder_.path(), compare("rwkv4")));
  auto before = files_below(folder_ / "family/rwkv4");
  const Outcome again = run(folder_.path(), compare("rwkv4"));
  expect_success(again);
  EXPECT_NE(again.out.find("trained already"), std::string::npos) << again.out;
  expect_success(run(folder_.path(), compare("rwkv4,rwkv7")));
  EXPECT_EQ(files_below(folder_ / "family/rwkv4"), before);
  EXPECT_NE(read(folder_ / "family/compare.html").find("RWKV-7 Goose"), std::string::npos);
}

TEST_F(Compare, ContinuesAfterKillsAndInterruptionsWithTheSameResult) {
  const TestFolder undisturbed;
  write(undisturbed / "text.txt", prose(8000));
  const Outcome whole = run(undisturbed.path(), compare("rwkv4,rwkv7"));
  expect_success(whole);
  Random random(5);
  int attempts = 0;
  for (; attempts < 200; ++attempts) {
    Process process(folder_.path(), compare("rwkv4,rwkv7"));
    if (attempts < 12) {
      sleep_for(random.uniform(0, whole.seconds * 0.7));
      process.signal(attempts % 3 ? SIGKILL : SIGINT);
    }
    const Outcome outcome = process.wait();
    if (outcome.code == 0) break;
    ASSERT_TRUE(outcome.code == -SIGKILL || outcome.code == -SIGINT || outcome.code == 130)
        << outcome.code << outcome.err;
    if (outcome.code == 130) {
      EXPECT_TRUE(outcome.out.find("same command") != std::string::npos ||
                  outcome.out.find("nothing is kept") != std::string::npos)
          << outcome.out;
    }
  }
  EXPECT_LT(attempts, 200);
  for (const char* member : {"rwkv4", "rwkv7"})
    EXPECT_EQ(read(folder_ / "family" / member / "model.safetensors"),
              read(undisturbed / "family" / member / "model.safetensors"))
        << member;
  for (const char* table : {"family/loss.csv", "family/validation.csv"})
    EXPECT_EQ(without_seconds(read(folder_ / table)), without_seconds(read(undisturbed / table))) << table;
  for (const auto& [name, content] : files_below(folder_.path()))
    EXPECT_EQ(name.find(".tmp"), std::string::npos) << name << " was left behind";
}

TEST_F(Compare, ChoosesTheStepsForTheMinutes) {
  Arguments arguments = compare("rwkv4,rwkv7");
  std::replace(arguments.begin(), arguments.end(), std::string("--steps"), std::string("--minutes"));
  std::replace(arguments.begin(), arguments.end(), std::string("20"), std::string("0.01"));
  expect_success(run(folder_.path(), arguments));
  const auto ledger = nlohmann::json::parse(read(folder_ / "family/compare.json"));
  const int64_t steps = ledger["steps"];
  EXPECT_GE(steps, 10);
  EXPECT_EQ(without_seconds(read(folder_ / "family/loss.csv")).size(), 2 * static_cast<size_t>(steps) + 1);
  // The same command continues with the same number of steps, even if the machine is faster or slower now.
  expect_success(run(folder_.path(), arguments));
  EXPECT_EQ(nlohmann::json::parse(read(folder_ / "family/compare.json")), ledger);
}

TEST_F(Compare, InvalidInputIsAnErrorInOneSentence) {
  const struct {
    std::string versions;
    Arguments more;
    std::vector<std::string> words;
    int code = 1;
  } cases[] = {
      {"rwkv4,rwkv99", {}, {"rwkv99", "rwkv7"}},
      {"rwkv4+wings=2", {}, {"wings", "rwkv4"}},
      {"rwkv4+head_size=8", {}, {"rwkv4", "head"}},
      {"rwkv4+recipe=cake", {}, {"rwkv4", "cake", "v4neo"}},
      {"rwkv4,", {}, {"--versions"}},
      {"rwkv4", {"--learning-rate", "nan"}, {"--learning-rate: 'nan'"}, 2},
      {"rwkv4", {"--validation-bytes", "10"}, {"validation", "--context"}},
      {"rwkv4", {"--minutes", "3"}, {"--steps", "--minutes"}, 2},
      {"rwkv4", {"--seed", "x"}, {"--seed"}, 2},
  };
  for (const auto& bad : cases) {
    fs::remove_all(folder_ / "family");
    expect_refusal(run(folder_.path(), compare(bad.versions, bad.more)), bad.words, bad.code);
    EXPECT_FALSE(fs::exists(folder_ / "family/rwkv4"));
  }
  expect_refusal(run(folder_.path(), {"compare", "nowhere.txt"}), {"nowhere.txt", "No such file"});
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

TEST_F(Compare, OtherSettingsAndUnrelatedFilesAreErrors) {
  expect_success(run(folder_.path(), compare("rwkv4")));
  const auto before = files_below(folder_ / "family");
  expect_refusal(run(folder_.path(), compare("rwkv4", {"--learning-rate", "0.001"})),
                 {"family", "learning_rate", "--out"});
  write(folder_ / "text.txt", prose(8000, 2));
  expect_refusal(run(folder_.path(), compare("rwkv4")), {"family", "text_hash"});
  EXPECT_EQ(files_below(folder_ / "family"), before);
  fs::remove_all(folder_ / "family");
  fs::create_directories(folder_ / "family");
  write(folder_ / "family/thesis.txt", "mine");
  expect_refusal(run(folder_.path(), compare("rwkv4")), {"family", "thesis.txt", "--out"});
}

}  // namespace
}  // namespace aviary::program
