#include <gtest/gtest.h>

#include "base/error.h"
#include "models/registry.h"
#include "train/plan.h"

namespace aviary {
namespace {

TuningFacts facts() {
  TuningFacts facts;
  facts.model = complete({.version = "rwkv7", .n_layer = 12, .n_embd = 768, .vocab_size = 65536});
  facts.base = "base.safetensors";
  facts.base_hash = "0123";
  facts.tokenizer = "world";
  facts.documents = {{"rows.jsonl", 1}};
  facts.data_hash = "4567";
  facts.parameters = 191'000'000;
  facts.tokens = 20'000;
  facts.sequences = 200;
  facts.longest = 300;
  facts.free_memory = int64_t{16} << 30;
  return facts;
}

std::string tuning_refusal(const Asked& asked, const TuningFacts& facts) {
  try {
    resolve_tuning(asked, facts);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(TuningPlan, TrainsAdaptersWhereWeightsAreManyQuantizedOrTooLarge) {
  EXPECT_EQ(usual_method(facts()), TuneMethod::lora);
  TuningFacts small = facts();
  small.parameters = 400'000;
  EXPECT_EQ(usual_method(small), TuneMethod::full);
  small.quantized = true;
  EXPECT_EQ(usual_method(small), TuneMethod::lora);
  small.quantized = false;
  small.free_memory = 10'000'000;
  EXPECT_EQ(usual_method(small), TuneMethod::lora);
}

TEST(TuningPlan, CountsStepsFromEpochs) {
  Asked asked;
  asked.values.batch = 8;
  asked.given = {"batch"};
  const TrainConfig config = resolve_tuning(asked, facts());
  EXPECT_EQ(config.schedule.steps, 75);  // 3 x 200 / 8
  EXPECT_EQ(config.context, 300);
  EXPECT_EQ(config.chunk, 512);
  EXPECT_EQ(config.tuning.alpha, 32);
  EXPECT_EQ(config.text_hash, "4567");
  EXPECT_EQ(config.model, facts().model);
}

TEST(TuningPlan, OfATextHasWindows) {
  TuningFacts text = facts();
  text.documents = {};
  text.text = Facts::Text{"book.txt", "89ab", 100'000};
  const TrainConfig config = resolve_tuning({}, text);
  EXPECT_EQ(config.text, "book.txt");
  EXPECT_EQ(config.context * config.batch, 2048);
  EXPECT_EQ(config.schedule.steps, (3 * 20'000 + 2047) / 2048);
}

TEST(TuningPlan, RefusesWhatHasNoMeaning) {
  Asked asked;
  asked.values.tuning.method = TuneMethod::state;
  asked.values.tuning.rank = 8;
  asked.given = {"method", "rank"};
  EXPECT_NE(tuning_refusal(asked, facts()).find("--rank"), std::string::npos);
  asked = {};
  asked.given = {"carry_state"};
  EXPECT_NE(tuning_refusal(asked, facts()).find("--carry-state"), std::string::npos);
  asked = {};
  asked.values.truncate = true;
  asked.given = {"truncate"};
  EXPECT_NE(tuning_refusal(asked, facts()).find("--context"), std::string::npos);
  TuningFacts growing = facts();
  growing.carries_gradients = false;
  EXPECT_EQ(resolve_tuning({}, growing).chunk, 0);
  asked = {};
  asked.values.chunk = 128;
  asked.given = {"chunk"};
  EXPECT_NE(tuning_refusal(asked, growing).find("--chunk"), std::string::npos);
}

}  // namespace
}  // namespace aviary
