// Training on several ranks ends with the bits of training on one.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files.h"
#include "support/test_folder.h"
#include "support/thread_ranks.h"
#include "train/trainer.h"

namespace aviary {
namespace {

TrainConfig config_of(const std::string& version) {
  TrainConfig config;
  config.model = {.version = version, .n_layer = 2, .n_embd = 32, .vocab_size = 256};
  if (version == "rwkv7") config.model.head_size = 16;
  config.tokenizer = "bytes";
  config.context = 8;
  config.batch = 5;  // the workers have one or two sequences
  config.workers = 4;
  config.weight_decay = 0.1;
  config.schedule = {.kind = ScheduleKind::cosine, .start = 3e-3, .end = 1e-4, .steps = 4, .warmup = 2};
  return config;
}

std::string text() {
  std::string text;
  for (int i = 0; i < 60; ++i)
    text += fmt::format("Line {} of a text that says nothing, {}.\n", i, i * i % 17);
  return text;
}

// Trains until `steps` steps are done, from the checkpoint in the folder if there is one.
void train_on(int64_t count, const TrainConfig& config, int64_t steps, const TestFolder& folder) {
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  run_ranks(count, [&](Ranks& ranks) {
    Trainer trainer(config, new_model(config), tokenizer,
                    std::make_shared<TextData>(Corpus(text(), *tokenizer, 0)), nullptr, ranks);
    if (!ranks.speaks()) return trainer.follow();
    if (std::filesystem::exists(folder / "checkpoint.safetensors")) trainer.load(folder.path());
    while (trainer.steps_done() < steps) trainer.step();
    trainer.save(folder.path());
    trainer.end();
  });
}

std::string checkpoint_in(const TestFolder& folder) {
  return read_file(folder / "checkpoint.safetensors", int64_t{1} << 30);
}

void expect_same_on_all(const TrainConfig& config) {
  const TestFolder one;
  train_on(1, config, 4, one);
  const std::string expected = checkpoint_in(one);
  for (int64_t count : {2, 4}) {
    const TestFolder several, resumed;
    train_on(count, config, 4, several);
    EXPECT_TRUE(checkpoint_in(several) == expected) << count << " ranks";
    train_on(count, config, 2, resumed);
    train_on(count == 2 ? 4 : 1, config, 4, resumed);
    EXPECT_TRUE(checkpoint_in(resumed) == expected) << "resumed from " << count << " ranks";
  }
}

TEST(TrainerRanks, AnyNumberOfRanksGivesTheSameCheckpoint) {
  expect_same_on_all(config_of("rwkv7"));
  expect_same_on_all(config_of("rwkv4"));
}

TEST(TrainerRanks, WithBf16ProductsAndRoundedSumsToo) {
  TrainConfig config = config_of("rwkv7");
  config.precision = kernels::Precision::bf16;
  config.rounded_sums = true;
  expect_same_on_all(config);
}

TEST(TrainerRanks, WithMuonToo) {
  TrainConfig config = config_of("rwkv7");
  config.optimizer = OptimizerKind::muon;
  expect_same_on_all(config);
}

TEST(TrainerRanks, WithCarriedStatesDropoutSeveralPassesAndAveragesToo) {
  TrainConfig config = config_of("rwkv7");
  config.carry_state = true;
  config.accumulate = 2;
  config.dropout = 0.2;
  config.ema = 0.9;
  expect_same_on_all(config);
}

TEST(TrainerRanks, OneWorkerIsOnePassOverTheBatch) {
  TrainConfig config = config_of("rwkv7");
  config.workers = 1;
  const TestFolder one;
  train_on(1, config, 4, one);
  config.workers = 4;
  const TestFolder four;
  train_on(1, config, 4, four);
  EXPECT_TRUE(checkpoint_in(one) != checkpoint_in(four));  // rounded in another way
}

TEST(TrainerRanks, EveryRankKeepsTheMomentsOfItsPartOnly) {
  const TrainConfig config = config_of("rwkv7");
  std::vector<int64_t> bytes(4);
  int64_t all = 0;
  run_ranks(4, [&](Ranks& ranks) {
    auto model = new_model(config);
    const Optimizer optimizer(*model, adamw_groups(model->parameters(), {}), 1, ranks);
    for (const Optimizer::Moment& moment : optimizer.moments()) {
      bytes[static_cast<size_t>(ranks.rank())] += moment.values.bytes();
      if (ranks.speaks()) all += moment.shape.count() * size_of(moment.dtype);
    }
  });
  int64_t sum = 0;
  for (int64_t own : bytes) {
    EXPECT_LT(own, all * 35 / 100);  // a quarter, but for whole parameters
    sum += own;
  }
  EXPECT_EQ(sum, all);
}

}  // namespace
}  // namespace aviary
