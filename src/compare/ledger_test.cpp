#include "compare/ledger.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "compare/comparison.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

TEST(Ledger, SurvivesWritingAndReading) {
  const TestFolder folder;
  EXPECT_FALSE(read_ledger(folder.path()));
  TrainConfig config;
  config.model.version = "rwkv7";
  write_ledger(folder.path(), {.asked = asked_of(config, true), .steps = 7, .plans = {{"a", {3, 4, 0.1}}}});
  const auto ledger = read_ledger(folder.path());
  ASSERT_TRUE(ledger);
  EXPECT_EQ(ledger->asked, asked_of(config, true));
  EXPECT_EQ(ledger->steps, 7);
  EXPECT_EQ(ledger->plans.at("a").parameters, 3);
  EXPECT_EQ(ledger->plans.at("a").training_bytes, 4);
  EXPECT_EQ(ledger->plans.at("a").tokens_per_second, 0.1);
}

TEST(Ledger, NamesTheSettingThatDiffers) {
  EXPECT_EQ(difference(R"({"a": 1, "b": "x"})", R"({"a": 1, "b": "x"})"), "");
  EXPECT_EQ(difference(R"({"a": 1, "b": "x"})", R"({"a": 1, "b": "y"})"), R"(b is "x" there and "y" here)");
  EXPECT_EQ(difference(R"({"a": 1})", R"({"a": 1, "b": 2})"), "b is null there and 2 here");
  EXPECT_EQ(difference(R"({"a": 1, "b": 2})", R"({"a": 1})"), "b is 2 there and null here");
  EXPECT_EQ(difference(R"({"a": {"b": 1}})", R"({"a": {"b": 2}})"), "b is 1 there and 2 here");
  EXPECT_EQ(difference(R"({"text": "/here"})", R"({"text": "/there"})"), "");  // its hash is compared
}

// Aviary 0.1 had no formats, wrote 1000 steps where the minutes counted, and the usual context in the model.
TEST(Ledger, AComparisonOfAnOlderProgramGoesOn) {
  TrainConfig config;
  config.model = {.version = "rwkv7", .n_layer = 2, .n_embd = 64, .vocab_size = 256, .ctx_len = 32};
  config.context = 32;
  config.minutes = 10;
  const std::string now = asked_of(config, true);
  auto json = nlohmann::ordered_json::parse(now);
  json.erase("format");
  json.erase("most_steps");
  json["steps"] = 1000;
  json["model"]["ctx_len"] = 128;
  EXPECT_NE(difference(json.dump(), now), "");
  EXPECT_EQ(difference(asked_by_this_program(json.dump(), ""), now), "");
  json["seed"] = 7;
  EXPECT_EQ(difference(asked_by_this_program(json.dump(), ""), now), "seed is 7 there and 1 here");
  json["wings"] = 2;
  EXPECT_THROW(asked_by_this_program(json.dump(), ""), Error);
}

TEST(Ledger, AComparisonFromBeforeASettingWasAddedGoesOn) {
  TrainConfig config;
  config.minutes = 10;
  auto json = nlohmann::ordered_json::parse(asked_of(config, true));
  EXPECT_EQ(json.erase("fit_warmup"), 1u);
  EXPECT_EQ(difference(asked_by_this_program(json.dump(), ""), asked_of(config, true)), "");
  json["seed"] = 7;
  EXPECT_EQ(difference(asked_by_this_program(json.dump(), ""), asked_of(config, true)),
            "seed is 7 there and 1 here");
}

TEST(Ledger, AnUnrelatedFolderIsNotModified) {
  const TestFolder folder;
  const std::string asked = asked_of({}, false);
  EXPECT_EQ(open_comparison(folder / "new", asked).steps, 0);
  write_ledger(folder.path(), {.asked = asked, .steps = 7, .plans = {}});
  EXPECT_EQ(open_comparison(folder.path(), asked).steps, 7);
  EXPECT_THROW(open_comparison(folder.path(), asked_of({}, true)), Error);
  for (const char* content : {"", "{}", "[]", "{\"asked\": 3, \"steps\": \"x\", \"members\": {}}"}) {
    const TestFolder damaged;
    write_file_atomically(damaged / "compare.json", std::string_view(content));
    EXPECT_THROW(open_comparison(damaged.path(), asked), Error) << content;
  }
  const TestFolder other;
  write_file_atomically(other / "mine.txt", std::string_view("mine"));
  EXPECT_THROW(open_comparison(other.path(), asked), Error);
  EXPECT_THROW(open_comparison(other / "mine.txt", asked), Error);
}

}  // namespace
}  // namespace aviary
