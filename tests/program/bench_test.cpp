// aviary bench: all numbers are reported for any model; what cannot be measured is an error.
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
    if (sanitized && type != std::string("q4_k")) continue;  // each measures the machine, slowly
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
    if (!sanitized || version == std::string("mha_rotary"))
      expect_success(
          run(folder.path(), quick({"--random", std::string(version) + ":2x64", "--vocabulary", "100"})));
}

TEST(Bench, InvalidRequestsAreRejected) {
  const TestFolder folder;
  expect_refusal(run(folder.path(), quick({"--random", "rwkv7:huge"})), {"rwkv7:huge", "1.5B", "24x2048"});
  expect_refusal(run(folder.path(), quick({"--random", "rwkv9:1.5B"})), {"rwkv9"});
  expect_refusal(run(folder.path(), {"bench", "--random", "rwkv7:2x64", "--batches", "0"}),
                 {"--batches", "0"});
  expect_refusal(run(folder.path(), {"bench", "--random", "rwkv7:2x64", "--type", "q3"}), {"--type"}, 2);
  expect_refusal(run(folder.path(), {"bench", "missing.gguf"}), {"missing.gguf"});
  const Arguments small{"bench", "--random", "rwkv7:1x64", "--vocabulary", "10"};
  expect_refusal(run(folder.path(), small + Arguments{"--threads", "0"}), {"--threads: 0"}, 2);
  expect_refusal(run(folder.path(), small + Arguments{"--batches", "4097"}), {"--batches", "4097", "4096"});
}

TEST(Bench, ManySequencesAndMoreThreadsThanCoresAreMeasured) {
  const TestFolder folder;
  expect_success(
      run(folder.path(), {"bench", "--random", "rwkv7:1x64", "--vocabulary", "10", "--batches", "4096",
                          "--threads", "17", "--rounds", "1", "--seconds", "0.01", "--prompt", "0"}));
}

TEST(Bench, ReportsTheInstructionsUsedForTypesThatTheCpuLacks) {
  if (sanitized) GTEST_SKIP() << "measuring plain C++ takes long";
#if defined(__x86_64__)
  const char* plain = "plain C++, this CPU has no AVX2";
#else
  const char* plain = "plain C++, this CPU has no SDOT";
#endif
  const TestFolder folder;
  for (const auto& [type, words] :
       {std::pair{"bf16", "widened to f32, this CPU has no products of bf16"}, std::pair{"q8_0", plain}}) {
    const Outcome outcome =
        run(folder.path(),
            quick({"--random", "rwkv7:1x64", "--vocabulary", "32", "--type", type, "--isa", "baseline"}));
    expect_success(outcome);
    EXPECT_NE(outcome.out.find(words), std::string::npos) << outcome.out;
  }
}

TEST(Bench, AModelLargerThanTheMemoryIsAnError) {
  const TestFolder folder;
  expect_refusal(run(folder.path(), {"bench", "--random", "rwkv7:1x65536", "--type", "f32", "--vocabulary",
                                     "1048576", "--batches", "1", "--prompt", "0"}),
                 {"out of memory"});
}

}  // namespace
}  // namespace aviary::program
