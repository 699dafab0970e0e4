// aviary bench: every number is there, whatever the model; what cannot be measured is refused.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "program.h"

namespace aviary::program {
namespace {

Arguments quick(const Arguments& what) {
  return Arguments{"bench", "--rounds", "1", "--seconds", "0.01", "--prompt", "20", "--batches", "1,3"} +
         what;
}

TEST(Bench, MeasuresARandomModelOfEveryType) {
  const TestFolder folder;
  for (const char* type : {"f32", "f16", "bf16", "q8_0", "q4_k"}) {
    const Outcome outcome = run(
        folder.path(), quick({"--random", "rwkv7:2x256", "--vocabulary", "300", "--type", type, "--json"}));
    expect_success(outcome);
    const auto json = nlohmann::json::parse(outcome.out);
    EXPECT_GT(json["prompt"]["tokens_per_second"], 0) << type;
    ASSERT_EQ(json["decode"].size(), 2u) << type;
    for (const auto& rate : json["decode"]) {
      EXPECT_GT(rate["tokens_per_second"], 0) << type;
      EXPECT_GT(rate["share_of_limit"], 0) << type;
    }
    EXPECT_GT(json["weight_bytes_per_token"], 0) << type;
    EXPECT_GT(json["machine"]["f32_gflops"], 0) << type;
  }
}

TEST(Bench, MeasuresTheModelInAFile) {
  const TestFolder folder;
  train_tiny(folder.path());
  const Outcome outcome = run(folder.path(), quick({"run"}));
  expect_success(outcome);
  for (const char* word : {"load", "prompt of 20", "decode, batch 3", "% of the limit"})
    EXPECT_NE(outcome.out.find(word), std::string::npos) << outcome.out;
}

TEST(Bench, EveryVersionCanBeMeasuredWithoutAFile) {
  const TestFolder folder;
  for (const char* version : {"rwkv4", "rwkv5.2", "rwkv6", "rwkv7", "mha_rotary"})
    expect_success(
        run(folder.path(), quick({"--random", std::string(version) + ":2x64", "--vocabulary", "100"})));
}

TEST(Bench, WhatCannotBeMeasuredIsRefused) {
  const TestFolder folder;
  expect_refusal(run(folder.path(), quick({"--random", "rwkv7:huge"})), {"rwkv7:huge", "1.5B", "24x2048"});
  expect_refusal(run(folder.path(), quick({"--random", "rwkv9:1.5B"})), {"rwkv9"});
  expect_refusal(run(folder.path(), {"bench", "--random", "rwkv7:2x64", "--batches", "0"}),
                 {"--batches", "0"});
  expect_refusal(run(folder.path(), {"bench", "--random", "rwkv7:2x64", "--type", "q3"}), {"--type"}, 2);
  expect_refusal(run(folder.path(), {"bench", "missing.gguf"}), {"missing.gguf"});
}

}  // namespace
}  // namespace aviary::program
