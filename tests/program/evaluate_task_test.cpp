// aviary evaluate --task and --against.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "documents.h"
#include "program.h"

namespace aviary::program {
namespace {

class EvaluateTask : public testing::Test {
 protected:
  EvaluateTask() {
    train_tiny(folder_.path(), 2);
    std::ofstream lambada(folder_ / "l.jsonl"), choices(folder_ / "c.jsonl");
    for (int i = 0; i < 20; ++i) {
      lambada << "{\"text\": \"the bird " << i << " sang a song\"}\n";
      choices << "{\"context\": \"the bird " << i
              << "\", \"choices\": [\"sang\", \"flew\"], \"answer\": " << i % 2 << "}\n";
    }
  }
  Outcome evaluate(const Arguments& arguments) const {
    return run(folder_.path(), Arguments{"evaluate", "run"} + arguments);
  }
  const TestFolder folder_;
};

TEST_F(EvaluateTask, AResultIsKeptAndComparedWithItself) {
  for (const char* task : {"lambada", "choices"}) {
    const std::string file = task[0] == 'l' ? "l.jsonl" : "c.jsonl";
    Outcome outcome = evaluate({file, "--task", task, "--out", "r.json"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_NE(outcome.out.find("20 items"), std::string::npos) << outcome.out;
    for (const char* other : {"r.json", "run"}) {
      outcome = evaluate({file, "--task", task, "--against", other, "--json"});
      ASSERT_EQ(outcome.code, 0) << outcome.err;
      const auto json = nlohmann::json::parse(outcome.out);
      EXPECT_EQ(json["items"], 20);
      EXPECT_EQ(json["comparison"]["log_likelihood"]["p"], 1);
    }
  }
  const Outcome outcome = evaluate({"--task", "copy", "--length", "16", "--sequences", "2", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["lengths"].size(), 2u);
}

TEST_F(EvaluateTask, WhatCannotBeIsRefused) {
  expect_refusal(evaluate({"--task", "lambada"}), {"needs a file of rows"});
  expect_refusal(evaluate({"l.jsonl", "--task", "copy"}), {"leave out the file"});
  expect_refusal(evaluate({"l.jsonl", "--task", "choices"}), {"l.jsonl:1", "no known task"});
  expect_refusal(evaluate({}), {"name the file"});
  std::ofstream(folder_ / "x.json") << "{}";
  expect_refusal(evaluate({"l.jsonl", "--task", "lambada", "--against", "x.json"}), {"x.json", "--out"});
}

}  // namespace
}  // namespace aviary::program
