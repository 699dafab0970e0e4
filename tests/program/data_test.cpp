// aviary data build and inspect.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "program.h"

namespace aviary::program {
namespace {

class DataBuild : public testing::Test {
 protected:
  DataBuild() {
    std::ofstream file(folder_ / "a.jsonl");
    for (int i = 0; i < 30; ++i) file << "{\"text\": \"the text number " << i % 20 << "\"}\n";
  }
  Outcome aviary(const Arguments& arguments) const { return run(folder_.path(), arguments); }
  const TestFolder folder_;
};

TEST_F(DataBuild, WritesTokensAndAReportAndInspectShowsThem) {
  Outcome outcome = aviary({"data", "build", "a.jsonl", "--out", "out", "--tokenizer", "bytes", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["documents"], 30);
  EXPECT_EQ(json["exact_duplicates"], 10);
  EXPECT_EQ(json["written_documents"], 30);
  outcome =
      aviary({"data", "build", "a.jsonl", "--out", "out.bin", "--tokenizer", "bytes", "--drop", "exact"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("out.bin: 20 documents"), std::string::npos) << outcome.out;
  outcome = aviary({"data", "inspect", "out.bin", "--tokenizer", "bytes", "--json", "--document", "3"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["documents"], 20);
  EXPECT_TRUE(json["samples"][0]["text"].get<std::string>().starts_with("the text number "));
}

TEST_F(DataBuild, WhatCannotBeBuiltIsRefused) {
  expect_refusal(aviary({"data", "build", "none", "--out", "x", "--tokenizer", "bytes"}), {"none"});
  expect_refusal(
      aviary({"data", "build", "a.jsonl", "--out", "x", "--tokenizer", "bytes", "--drop", "overlap"}),
      {"--evaluation"});
  std::ofstream(folder_ / "x.bin") << "abc";
  std::ofstream(folder_ / "x.idx") << "MMIDIDX";
  expect_refusal(aviary({"data", "inspect", "x.bin", "--tokenizer", "bytes"}), {"x.idx", "MMIDIDX"});
}

class TrainOnTokens : public testing::Test {
 protected:
  TrainOnTokens() {
    write(folder_ / "text.txt", prose(8000));
    write(folder_ / "other.txt", prose(3000, 2));
    for (const char* name : {"text", "other"})
      expect_success(
          aviary({"data", "build", std::string(name) + ".txt", "--out", name, "--tokenizer", "bytes"}));
  }
  Outcome aviary(const Arguments& arguments) const { return run(folder_.path(), arguments); }
  Outcome train(const Arguments& arguments) const {
    return aviary(Arguments{"train", "--steps", "4", "--out", "run"} + arguments + tiny);
  }
  std::string model() const { return read(folder_ / "run/model.safetensors"); }
  const TestFolder folder_;
};

TEST_F(TrainOnTokens, TheRunIsThatOfTheText) {
  expect_success(train({"text.txt"}));
  const std::string of_text = model();
  fs::remove_all(folder_ / "run");
  const Outcome outcome = train({"text.bin"});
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("bytes to train on are"), std::string::npos) << outcome.out;
  EXPECT_TRUE(model() == of_text);
}

TEST_F(TrainOnTokens, SeveralFilesWithWeightsGoOnAlsoWhenTheyHaveMoved) {
  expect_success(train({"text.bin", "other.idx,weight=0.5", "--cubic-order"}));
  for (const char* name : {"text.bin", "text.idx", "other.bin", "other.idx"}) {
    fs::create_directories(folder_ / "moved");
    fs::rename(folder_ / name, folder_ / "moved" / name);
  }
  const Arguments resume = {"train", "--resume", "run", "--steps", "6", "--threads", "1"};
  expect_refusal(aviary(resume), {".bin", "--text"});
  expect_refusal(aviary(resume + Arguments{"--text", "moved/text.bin"}), {"--text", "2 files"});
  expect_success(aviary(resume + Arguments{"--text", "moved/other.bin", "--text", "moved/text.bin"}));
  const std::string config = read(folder_ / "run/config.json");
  EXPECT_NE(config.find("moved/other.bin\": 0.5"), std::string::npos) << config;
  // Other tokens in their place.
  fs::copy_file(folder_ / "moved/other.bin", folder_ / "moved/text.bin",
                fs::copy_options::overwrite_existing);
  fs::copy_file(folder_ / "moved/other.idx", folder_ / "moved/text.idx",
                fs::copy_options::overwrite_existing);
  expect_refusal(aviary({"train", "--resume", "run", "--steps", "8", "--threads", "1"}), {"have changed"});
}

TEST_F(TrainOnTokens, WhatCannotBeReadIsRefusedInOneSentence) {
  expect_refusal(aviary({"train", "text.bin"}), {"text.bin", "--tokenizer"});
  expect_refusal(train({"text.bin", "text.txt"}), {"beside"});
  expect_refusal(train({"text.txt", "other.txt"}), {"one text"});
  expect_refusal(train({"text.bin", "text.idx"}), {"named twice"});
  expect_refusal(train({"text.bin", "--cubic-order", "--carry-state"}), {"--cubic-order", "--carry-state"});
  write(folder_ / "alone.bin", read(folder_ / "text.bin"));
  expect_refusal(train({"alone.bin"}), {"alone.bin", "alone.idx"});
  write(folder_ / "alone.idx", read(folder_ / "text.idx").substr(0, 30));
  expect_refusal(train({"alone.bin"}), {"alone.idx", "MMIDIDX"});
  write(folder_ / "alone.idx", read(folder_ / "text.idx"));
  write(folder_ / "alone.bin", read(folder_ / "text.bin").substr(0, 2000));
  expect_refusal(train({"alone.bin"}), {"cut off"});
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(TrainOnTokens, ValidationDocumentsThatAreAlsoTrainedOnAreTold) {
  expect_success(aviary({"data", "build", "text.txt", "--separator", ". ", "--epochs", "3", "--out", "thrice",
                         "--tokenizer", "bytes"}));
  const Outcome outcome = train({"thrice.bin"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.err.find("--epochs"), std::string::npos) << outcome.err;
}

TEST_F(TrainOnTokens, APlanTellsStepsAndTimeAndWritesNothing) {
  for (const char* text : {"text.txt", "text.bin"}) {
    const auto before = files_below(folder_.path());
    const Outcome outcome = train({text, "--plan"});
    expect_success(outcome);
    EXPECT_NE(outcome.out.find("A step takes"), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.out.find("4 steps, 0."), std::string::npos) << outcome.out;
    EXPECT_EQ(outcome.out.find("is kept in"), std::string::npos) << outcome.out;
    EXPECT_EQ(files_below(folder_.path()), before);
  }
  const Outcome shortest = aviary(
      Arguments{"train", "text.txt", "--plan", "--steps", "1", "--validation-bytes", "0", "--out", "run"} +
      tiny);
  expect_success(shortest);
  EXPECT_NE(shortest.out.find("1 steps"), std::string::npos) << shortest.out;
  EXPECT_EQ(shortest.out.find("inf"), std::string::npos) << shortest.out;
  expect_refusal(aviary({"train", "--resume", "run", "--plan"}), {"--plan", "--resume"});
}

TEST_F(TrainOnTokens, AForecastTellsWhatARunWouldReach) {
  auto plan = [&](const std::string& steps, const Arguments& flags) {
    return aviary(Arguments{"train", "text.txt", "--steps", steps} + tiny + flags);
  };
  const auto before = files_below(folder_.path());
  const Outcome outcome = plan("900", {"--plan", "--forecast"});
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("of 28 and 56 steps"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("the whole run should reach about "), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("more than three times"), std::string::npos) << outcome.out;
  EXPECT_EQ(files_below(folder_.path()), before);
  expect_refusal(plan("40", {"--plan", "--forecast"}), {"--forecast", "fewer than 25 steps"});
  expect_refusal(plan("900", {"--forecast"}), {"--forecast", "--plan"}, 2);
  expect_refusal(plan("900", {"--plan", "--forecast", "--validation-bytes", "0"}),
                 {"--forecast", "--validation-bytes"});
  expect_refusal(plan("900", {"--plan", "--forecast", "--ranks", "2"}), {"--forecast", "--ranks"});
}

TEST_F(TrainOnTokens, APlanForSeveralMachinesTellsTheirExchanges) {
  auto plan = [&](const Arguments& flags) {
    return aviary(Arguments{"train", "text.txt", "--plan", "--steps", "4"} + tiny + flags);
  };
  const Outcome slow = plan({"--ranks", "2", "--link", "10Kbit"});
  expect_success(slow);
  EXPECT_NE(slow.out.find("On 2 machines"), std::string::npos) << slow.out;
  EXPECT_NE(slow.out.find("0.0 times as fast"), std::string::npos) << slow.out;
  const Outcome rounds = plan({"--ranks", "2", "--link", "1Gbit", "--local-steps", "2"});
  expect_success(rounds);
  EXPECT_NE(rounds.out.find("On 2 machines"), std::string::npos) << rounds.out;
  expect_refusal(plan({"--ranks", "3"}), {"--ranks is 3", "power of two"});
  expect_refusal(plan({"--ranks", "4"}), {"--ranks 4", "2 workers"});
  expect_refusal(plan({"--ranks", "2", "--link", "1GB"}), {"--link", "1GB", "1Gbit"});
}

}  // namespace
}  // namespace aviary::program
