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

}  // namespace
}  // namespace aviary::program
