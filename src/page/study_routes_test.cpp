// Comparisons and sweeps as the page asks for them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json.h"
#include "compare/ledger.h"
#include "compare/sweep.h"
#include "page/no_models.h"
#include "page/page.h"
#include "support/fake_service.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view log_line = "{\"step\":1,\"tokens\":8,\"loss\":2.5,\"seconds\":1}\n";

class StudyRoutes : public testing::Test {
 protected:
  void SetUp() override {
    make_folders(runs);
    add_runs(router, watched);
    add_studies(router, watched);
  }
  void write(const fs::path& file, std::string_view text) const {
    make_folders((runs / file).parent_path());
    write_file_atomically(runs / file, text);
  }
  void write_comparison() const {
    make_folders(runs / "compare-a");
    write_ledger(runs / "compare-a",
                 {.asked = asked_of({}, false),
                  .steps = 12,
                  .plans = {{"rwkv4", {.parameters = 40}}, {"rwkv7", {.parameters = 50}}}});
    write("compare-a/members.csv",
          "member,version,parameters,validation_bits_per_byte,training_loss\n"
          "rwkv7,rwkv7,50,1.5,\n../escape,x,1,2,3\nrwkv7,twice,1,1,1\n");
    write("compare-a/rwkv7/log.jsonl", log_line);
  }
  FakeAnswer ask(const std::string& path) {
    const auto answer = std::make_shared<FakeAnswer>();
    router.handle({.method = "GET", .path = "/v1/aviary/" + path}, answer);
    return *answer;
  }
  json answer_to(const std::string& path) {
    const FakeAnswer answer = ask(path);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return parse_json(answer.body, path);
  }

  TestFolder folder;
  const fs::path runs = folder / "runs";
  std::shared_ptr<Runs> watched = std::make_shared<Runs>(std::vector<fs::path>{runs});
  NoModels none;
  Router router{none, {.keys = {}, .version = "1", .max_tokens = 0}};
};

TEST_F(StudyRoutes, AComparisonIsItsTableAndItsRuns) {
  EXPECT_TRUE(answer_to("studies")["studies"].empty());
  EXPECT_EQ(ask("studies/0").status, 404);
  write_comparison();
  const json list = answer_to("studies")["studies"];
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["kind"], "comparison");
  const json study = answer_to("studies/0");
  EXPECT_EQ(study["steps"], 12);
  EXPECT_EQ(study["running"], false);
  ASSERT_EQ(study["members"].size(), 2u);
  const json &first = study["members"][0], &second = study["members"][1];
  EXPECT_EQ(first["member"], "rwkv7");
  EXPECT_EQ(first["validation_bits_per_byte"], 1.5);
  EXPECT_TRUE(first["training_loss"].is_null());
  EXPECT_EQ(second["member"], "rwkv4");  // not in the table yet
  EXPECT_EQ(second["parameters"], 40);
  EXPECT_TRUE(second["run"].is_null());
  EXPECT_EQ(answer_to("runs/" + first["run"].dump() + "/log")["step"], 1);
  EXPECT_TRUE(answer_to("runs")["runs"].empty());  // they are not runs of their own
}

TEST_F(StudyRoutes, TheLossByPositionIsToldInBins) {
  write_comparison();
  answer_to("studies");
  EXPECT_TRUE(answer_to("studies/0/positions")["members"].empty());
  std::string table = "member,tokens_of_context,loss\n";
  for (const char* member : {"rwkv7", "rwkv4"})
    for (int tokens = 1; tokens <= 100; ++tokens)
      table += fmt::format("{},{},{}\n", member, tokens, 5.0 / tokens);
  write("compare-a/positions.csv", table + "<b>,1,x\n<b>,2,1e999\n");
  const json told = answer_to("studies/0/positions");
  EXPECT_EQ(told["context"], TrainConfig().context);
  ASSERT_EQ(told["members"].size(), 3u);
  const json& member = told["members"][1];
  EXPECT_EQ(member["member"], "rwkv4");
  ASSERT_EQ(member["tokens"].size(), member["loss"].size());
  EXPECT_EQ(member["tokens"][0], 1.0);
  EXPECT_EQ(member["loss"][0], 5.0);
  EXPECT_LT(member["tokens"].size(), 25u);
  EXPECT_TRUE(told["members"][2]["loss"][0].is_null());
}

TEST_F(StudyRoutes, AComparisonThatIsWatchedItselfIsOne) {
  write_comparison();
  Runs one({runs / "compare-a"});
  EXPECT_EQ(one.list().size(), 1u);
  ASSERT_EQ(one.studies().size(), 1u);
  EXPECT_EQ(one.studies()[0].name, "compare-a");
  EXPECT_TRUE(is_run_or_study(runs / "compare-a"));
  EXPECT_FALSE(is_run_or_study(runs));
}

TEST_F(StudyRoutes, ASweepTellsItsIntervals) {
  auto result = [](double validation) {
    return SweepResult{.validation = validation,
                       .training_loss = 2,
                       .seconds_per_step = 0.1,
                       .steps = 10,
                       .tokens_per_step = 64};
  };
  const Sweep sweep{
      "novel", "", {1, 2}, {{"", {result(1.5), result(1.7)}}, {"--lion", {result(1.4), result(1.6)}}}};
  write("sweep-a/sweep.csv", sweep_table(sweep));
  for (const char* run : {"sweep-a/all/1", "sweep-a/lion/1"}) write(fs::path(run) / "log.jsonl", log_line);
  write("sweep-a/vocabulary-300-of-9-bytes.txt", "x");
  ASSERT_EQ(answer_to("studies")["studies"].size(), 1u);
  const json study = answer_to("studies/0");
  EXPECT_EQ(study["kind"], "sweep");
  EXPECT_EQ(study["seeds"], json::array({1, 2}));
  const json lion = study["variants"][1];
  EXPECT_EQ(lion["settings"], "--lion");
  EXPECT_NEAR(lion["validation"]["mean"].get<double>(), 1.5, 1e-12);
  EXPECT_NEAR(lion["validation"]["more"].get<double>(), -0.1, 1e-12);
  EXPECT_TRUE(lion["test"]["mean"].is_null());
  EXPECT_EQ(lion["tokens"], 640);
  ASSERT_EQ(study["runs"].size(), 2u);
  EXPECT_EQ(study["runs"][1]["settings"], "lion");
  EXPECT_EQ(answer_to("runs/" + study["runs"][1]["run"].dump() + "/log")["step"], 1);
}

TEST_F(StudyRoutes, DamagedStudiesAreASentence) {
  write("compare-a/compare.json", "{\"asked\":");
  write("sweep-a/sweep.csv", "\"\n\n,,,\n\x01");
  const json list = answer_to("studies")["studies"];
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["name"], "compare-a");
  const std::string comparison = "studies/" + list[0]["id"].dump();
  EXPECT_EQ(ask(comparison).status, 400);
  EXPECT_EQ(answer_to("studies/" + list[1]["id"].dump())["runs"].size(), 0u);
  write(
      "compare-a/compare.json",
      R"({"asked":{"text":7},"steps":1,"members":{"../../up":{"parameters":1,"training_bytes":1,"tokens_per_second":1}}})");
  EXPECT_TRUE(answer_to(comparison)["members"].empty());
}

}  // namespace
}  // namespace aviary
