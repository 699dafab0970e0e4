// The uses of a trained model: generate, evaluate, inspect, logits, verify.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/utf8.h"
#include "program.h"
#include "support/repository.h"

namespace aviary::program {
namespace {

using Json = nlohmann::json;

class Use : public testing::Test {
 protected:
  Use() { train_tiny(folder_.path(), 10); }

  Outcome generate(const Arguments& flags) {
    const Outcome outcome = run(folder_.path(), Arguments{"generate", "run", "--threads", "1"} + flags);
    expect_success(outcome);
    return outcome;
  }

  const TestFolder folder_;
};

TEST_F(Use, TheSameSeedGivesTheSameText) {
  const Arguments flags = {"--prompt", "the bird", "--tokens", "50", "--seed"};
  const std::string text = generate(flags + Arguments{"7"}).out;
  EXPECT_EQ(text.substr(0, 8), "the bird");
  EXPECT_GT(text.size(), 40u);
  EXPECT_EQ(generate(flags + Arguments{"7"}).out, text);
  EXPECT_NE(generate(flags + Arguments{"8"}).out, text);
}

TEST_F(Use, TheCacheIsWrittenOnceAndChangesNoText) {
  const Arguments flags = {"--prompt", "the bird", "--tokens", "30", "--seed", "7"};
  const std::string text = generate(flags).out;
  const Outcome first = generate(flags + Arguments{"--cache"}),
                second = generate(flags + Arguments{"--cache"});
  EXPECT_EQ(first.out, text);
  EXPECT_EQ(second.out, text);
  EXPECT_NE(first.err.find("write the cache"), std::string::npos) << first.err;
  EXPECT_EQ(second.err.find("write the cache"), std::string::npos) << second.err;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "run/model.safetensors.packed"));
  std::filesystem::remove(folder_ / "run/model.safetensors.packed");
  EXPECT_EQ(generate(flags + Arguments{"--cache", "--quiet"}).err, "");
}

TEST_F(Use, QuietPrintsOnlyTheText) {
  EXPECT_EQ(generate({"--tokens", "3", "--quiet"}).err, "");
  EXPECT_NE(generate({"--tokens", "3", "--seed", "12"}).err.find("seed 12"), std::string::npos);
}

TEST_F(Use, AStopStringEndsTheText) {
  const Arguments flags = {"--tokens", "60", "--seed", "3", "--top-k", "40", "--quiet"};
  const std::string text = generate(flags).out;
  size_t at = 20;  // two characters, shown unescaped in a terminal
  while (at + 2 < text.size() &&
         !(text[at] >= 'a' && text[at + 1] >= 'a' && text[at] <= 'z' && text[at + 1] <= 'z'))
    ++at;
  ASSERT_LT(at + 2, text.size()) << text;
  const std::string stop = text.substr(at, 2);
  EXPECT_EQ(generate(flags + Arguments{"--stop", "never in any text", "--stop", stop}).out,
            text.substr(0, text.find(stop)) + "\n");
}

TEST_F(Use, CharactersAreNeverBroken) {
  for (const char* prompt : {"", "é", "\xe4\xb8", "a\xff\xc3", "\xf0\x9f\x98\x80"})
    for (const char* seed : {"1", "2", "3"})
      generate({"--prompt", prompt, "--temperature", "2", "--top-p", "1", "--tokens", "100", "--seed", seed});
}

TEST_F(Use, ZeroTokensPrintOnlyThePrompt) {
  EXPECT_EQ(generate({"--prompt", "so", "--tokens", "0"}).out, "so\n");
  EXPECT_EQ(generate({"--tokens", "0"}).out, "\n");
}

TEST_F(Use, ALongPromptIsReadInBoundedMemory) {
  const Outcome brief = generate({"--prompt", prose(1000), "--tokens", "1"});
  const Outcome whole = generate({"--prompt", prose(20'000), "--tokens", "1"});
  EXPECT_NE(whole.err.find("prompt: 20,000 tokens"), std::string::npos) << whole.err;
  if (sanitized) return;  // they retain freed memory
  EXPECT_LT(whole.peak_bytes, brief.peak_bytes + (8 << 20));
}

TEST_F(Use, WithoutAPathTheNewestRunIsUsed) {
  const Arguments flags = {"--prompt", "the", "--tokens", "40", "--seed", "1", "--threads", "1", "--quiet"};
  const Arguments train = Arguments{"train", "text.txt", "--steps", "5"} + tiny;
  expect_success(run(folder_.path(), train + Arguments{"--seed", "1"}));
  expect_success(run(folder_.path(), train + Arguments{"--seed", "2"}));
  fs::create_directories(folder_ / "runs/unfinished");
  const std::string second = run(folder_.path(), Arguments{"generate", "runs/text-2"} + flags).out;
  EXPECT_NE(run(folder_.path(), Arguments{"generate", "runs/text"} + flags).out, second);
  EXPECT_EQ(run(folder_.path(), Arguments{"generate"} + flags).out, second);
}

// As that of another user, whose folder may not be read.
TEST_F(Use, ARunThatCannotBeAccessedIsNotTheNewest) {
  make_folders(folder_ / "runs/theirs");
  fs::create_symlink("model.safetensors", folder_ / "runs/theirs/model.safetensors");  // to itself
  fs::rename(folder_ / "run", folder_ / "runs/mine");
  expect_success(run(folder_.path(), {"inspect"}));
}

TEST_F(Use, EvaluateWritesJson) {
  const Outcome outcome = run(folder_.path(), {"evaluate", "run", "text.txt", "--json", "--threads", "1"});
  expect_success(outcome);
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["bytes"], 3999);
  EXPECT_EQ(json["tokens"], 3999);
  EXPECT_NEAR(json["bits_per_byte"], json["loss"].get<double>() / std::log(2.0), 1e-9);
  EXPECT_GT(json["bits_per_byte"], 0.5);
  EXPECT_LT(json["bits_per_byte"], 8.5);
}

TEST_F(Use, EvaluateMeasuresTheLossByPosition) {
  const Arguments by_position = {"evaluate", "run", "text.txt", "--threads", "1", "--by-position", "20"};
  const Json json = Json::parse(run(folder_.path(), by_position + Arguments{"--json"}).out);
  EXPECT_EQ(json["windows"], 100);
  EXPECT_EQ(json["loss_by_position"].size(), 20u);
  const Outcome outcome = run(folder_.path(), by_position + Arguments{"--windows", "3"});
  expect_success(outcome);
  for (const char* part :
       {"3 windows of 20 tokens", " 1   ", " 2   ", " 3-4   ", " 5-8   ", " 9-16   ", " 17-20   "})
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part << "\n" << outcome.out;
  expect_refusal(run(folder_.path(), by_position + Arguments{"--begin-token"}), {"--begin-token"});
  expect_refusal(run(folder_.path(), {"evaluate", "run", "text.txt", "--windows", "3"}), {"--by-position"},
                 2);
  expect_refusal(run(folder_.path(), {"evaluate", "run", "text.txt", "--by-position", "100000"}),
                 {"more than 100000 are needed"});
}

TEST_F(Use, OnATextOfTwoBytesOneIsPredictedAndTheProgressEndsAtAll) {
  write(folder_ / "two.txt", "ab");
  const Outcome outcome = run(folder_.path(), {"evaluate", "run", "two.txt"});
  expect_success(outcome);
  EXPECT_NE(outcome.err.find("evaluate 100.0 %"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.out.find("1 bytes, 1 tokens predicted"), std::string::npos) << outcome.out;
  const Json json = Json::parse(run(folder_.path(), {"evaluate", "run", "two.txt", "--json"}).out);
  EXPECT_NEAR(json["bits_per_byte"], json["loss"].get<double>() / std::log(2.0), 1e-9);
}

TEST_F(Use, InspectWritesJson) {
  const Outcome outcome = run(folder_.path(), {"inspect", "run", "--json"});
  expect_success(outcome);
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["version"], "rwkv7");
  EXPECT_EQ(json["layers"], 2);
  EXPECT_EQ(json["vocabulary"], 256);
  EXPECT_EQ(json["problems"].size(), 0u);
  int64_t numbers = 0;
  for (const Json& tensor : json["tensors"]) {
    int64_t count = 1;
    for (int64_t size : tensor["shape"]) count *= size;
    numbers += count;
  }
  EXPECT_EQ(json["parameters"], numbers);
}

TEST_F(Use, InspectWritesJsonForAFileWhoseNameIsNotUtf8) {
  fs::copy_file(folder_ / "run/model.safetensors", folder_ / "\xff.safetensors");
  const Outcome outcome = run(folder_.path(), {"inspect", "\xff.safetensors", "--json"});
  expect_success(outcome);
  EXPECT_EQ(Json::parse(outcome.out)["path"], "\xef\xbf\xbd.safetensors");
}

TEST_F(Use, LogitsWritesWhatItPrints) {
  const Outcome outcome = run(folder_.path(), {"logits", "run", "--prompt", "the bird", "--top", "256",
                                               "--raw", "raw", "--threads", "1"});
  expect_success(outcome);
  const std::string raw = read(folder_ / "raw");
  ASSERT_EQ(raw.size(), 256 * sizeof(float));
  std::vector<float> logits(256);
  std::memcpy(logits.data(), raw.data(), raw.size());
  std::istringstream lines(outcome.out);
  std::string line;
  std::getline(lines, line);
  double sum = 0;
  int count = 0;
  for (; std::getline(lines, line); ++count) {
    size_t token = 0;
    double logit = 0, probability = 0;
    std::istringstream(line) >> token >> logit >> probability;
    ASSERT_LT(token, logits.size()) << line;
    EXPECT_NEAR(logit, logits[token], 1e-6) << line;
    sum += probability;
  }
  EXPECT_EQ(count, 256);
  EXPECT_NEAR(sum, 1, 1e-4);
  EXPECT_TRUE(is_utf8(outcome.out));
}

TEST_F(Use, LogitsOfTokensAndOfTheirTextAreTheSame) {
  EXPECT_EQ(run(folder_.path(), {"logits", "run", "--tokens", "116,104,101", "--threads", "1"}).out,
            run(folder_.path(), {"logits", "run", "--prompt", "the", "--threads", "1"}).out);
}

TEST_F(Use, TheTextStartsFromATunedState) {
  const Json model = Json::parse(run(folder_.path(), {"inspect", "run", "--json"}).out);
  const int64_t layers = model["layers"], size = model["head_size"],
                heads = model["width"].get<int64_t>() / size;
  auto write_state = [&](const std::string& name, float number, int64_t state_layers) {
    fs::copy_file(folder_ / "run/model.safetensors", folder_ / name);
    rewrite_tensors(folder_ / name, [&](auto& tensors, auto& metadata) {
      tensors.clear();
      metadata.clear();
      std::string data;
      for (int64_t i = 0; i < heads * size * size; ++i) {
        const float value = number * static_cast<float>(i % 7 - 3);
        data.append(reinterpret_cast<const char*>(&value), sizeof value);
      }
      for (int64_t layer = 0; layer < state_layers; ++layer)
        tensors.push_back(
            {"blocks." + std::to_string(layer) + ".att.time_state", Dtype::f32, {heads, size, size}, data});
    });
  };
  write_state("zero.safetensors", 0, layers);
  write_state("tuned.safetensors", 1, layers);
  write_state("other.safetensors", 1, layers + 1);
  const Arguments flags = {"--prompt", "the bird", "--tokens", "40", "--seed", "5", "--quiet"};
  const std::string text = generate(flags).out;
  EXPECT_EQ(generate(flags + Arguments{"--state", "zero.safetensors"}).out, text);
  EXPECT_NE(generate(flags + Arguments{"--state", "tuned.safetensors"}).out, text);
  for (const Arguments& command :
       {Arguments{"evaluate", "run", "text.txt"}, Arguments{"logits", "run", "-p", "the"}}) {
    const std::string plain = run(folder_.path(), command).out;
    EXPECT_EQ(run(folder_.path(), command + Arguments{"--state", "zero.safetensors"}).out, plain);
    const Outcome tuned = run(folder_.path(), command + Arguments{"--state", "tuned.safetensors"});
    expect_success(tuned);
    EXPECT_NE(tuned.out, plain);
    expect_refusal(run(folder_.path(), command + Arguments{"--state", "other.safetensors"}),
                   {"other.safetensors", "a tuned state for"});
  }
  expect_refusal(run(folder_.path(), {"generate", "run", "--state", "other.safetensors"}),
                 {"other.safetensors", "a tuned state for", "but the model has"});
  expect_refusal(run(folder_.path(), {"generate", "run", "--state", "run/model.safetensors"}),
                 {"not a state file"});
  expect_refusal(run(folder_.path(), {"generate", "tuned.safetensors"}), {"not a model", "--state"});
  const Outcome inspected = run(folder_.path(), {"inspect", "tuned.safetensors"});
  expect_success(inspected);
  EXPECT_NE(inspected.out.find("a tuned state for 2 layers"), std::string::npos) << inspected.out;
}

TEST_F(Use, VerifyPassesOnATrainedModel) {
  const Outcome outcome = run(folder_.path(), {"verify", "run", "--length", "40"});
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("All agree."), std::string::npos) << outcome.out;
}

TEST(Verify, GoldenDataPassesUntilItIsChanged) {
  const TestFolder folder;
  const fs::path rwkv7 = golden("rwkv-v7");
  for (const char* name : {"model.safetensors", "golden.safetensors", "config.json"})
    fs::copy_file(rwkv7 / name, folder / name);
  expect_success(run(folder.path(), {"verify", "--golden", "."}));
  rewrite_tensors(folder / "golden.safetensors", [](auto& tensors, auto&) {
    for (EditableTensor& tensor : tensors)
      if (tensor.name == "grad.blocks.1.att.w2") {
        float value = 0;
        std::memcpy(&value, tensor.data.data(), sizeof value);
        value += 1;
        std::memcpy(tensor.data.data(), &value, sizeof value);
      }
  });
  const Outcome altered = run(folder.path(), {"verify", "--golden", "."});
  EXPECT_EQ(altered.code, 1);
  EXPECT_NE(altered.out.find("FAIL"), std::string::npos) << altered.out;
}

}  // namespace
}  // namespace aviary::program
