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

// Trains until `steps` steps are done, from the checkpoint in the folder if there is one. Returns the bytes
// that the ranks sent, checkpoints included.
int64_t train_on(int64_t count, const TrainConfig& config, int64_t steps, const TestFolder& folder) {
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  return run_ranks(count, [&](Ranks& ranks) {
    Trainer trainer(config, new_model(config), tokenizer,
                    std::make_shared<TextData>(Corpus(text(), *tokenizer, 0)), nullptr, ranks);
    if (!ranks.speaks()) return trainer.follow();
    if (std::filesystem::exists(folder / "checkpoint.safetensors")) trainer.load(folder.path());
    while (trainer.steps_done() < steps) trainer.step();
    trainer.end_round();
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

TEST(TrainerRanks, AnyNumberOfRanksGivesTheSameNormsOfLayers) {
  const TrainConfig config = config_of("rwkv7");
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  auto norms_on = [&](int64_t count) {
    std::vector<double> norms;
    run_ranks(count, [&](Ranks& ranks) {
      Trainer trainer(config, new_model(config), tokenizer,
                      std::make_shared<TextData>(Corpus(text(), *tokenizer, 0)), nullptr, ranks);
      if (!ranks.speaks()) return trainer.follow();
      for (int step = 0; step < 3; ++step) {
        trainer.step();
        norms.insert(norms.end(), trainer.layer_norms().begin(), trainer.layer_norms().end());
      }
      trainer.end();
    });
    return norms;
  };
  const std::vector<double> expected = norms_on(1);
  ASSERT_EQ(expected.size(), 12u);
  for (const double norm : expected) EXPECT_GT(norm, 0);
  EXPECT_EQ(norms_on(2), expected);
  EXPECT_EQ(norms_on(4), expected);
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

TrainConfig with_local_steps(int64_t steps, int64_t workers) {
  TrainConfig config = config_of("rwkv7");
  config.schedule.steps = 6;
  config.local_steps = steps;
  config.workers = workers;
  return config;
}

// The sequences that one of several workers has of every batch.
struct Share : BatchSource {
  std::unique_ptr<BatchSource> all;
  int64_t worker, workers;
  Batch part;

  Share(std::unique_ptr<BatchSource> of, int64_t own, int64_t count)
      : all(std::move(of)), worker(own), workers(count) {}
  const Batch& batch(int64_t pass) override {
    const Batch& whole = all->batch(pass);
    const int64_t count = whole.sequences.count();
    return part = whole.part(worker * count / workers, (worker + 1) * count / workers);
  }
};

std::vector<float> numbers_of(const Model& model) {
  std::vector<float> numbers;
  for (const Parameter& parameter : model.parameters()) {
    const Tensor& value = parameter.weight.value();
    numbers.insert(numbers.end(), value.as<float>(), value.as<float>() + value.count());
  }
  return numbers;
}

// The numbers after three steps, of which the last two are those of a round of their own.
std::vector<float> after_two_rounds(Trainer& trainer, std::vector<float>* after_one) {
  for (int i = 0; i < 3; ++i) trainer.step();
  if (after_one) *after_one = numbers_of(trainer.model());
  for (int i = 0; i < 3; ++i) trainer.step();
  return numbers_of(trainer.model());
}

TEST(LocalSteps, ARoundMovesTheWeightsByTheMeanOfAllChanges) {
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  const auto data = std::make_shared<TextData>(Corpus(text(), *tokenizer, 0));
  TrainConfig config = with_local_steps(3, 2);
  std::vector<float> mean;
  for (int64_t worker = 0; worker < 2; ++worker) {
    TrainConfig alone = config;
    alone.local_steps = 0;
    alone.workers = 1;
    Trainer trainer(alone, new_model(alone), tokenizer, data,
                    std::make_unique<Share>(data->source(alone), worker, 2));
    for (int i = 0; i < 3; ++i) trainer.step();
    const std::vector<float> numbers = numbers_of(trainer.model());
    mean.resize(numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i) mean[i] += numbers[i] / 2;
  }
  const std::vector<float> first = numbers_of(*new_model(config));
  std::vector<float> after_one, after_two;
  run_ranks(2, [&](Ranks& ranks) {
    Trainer trainer(config, new_model(config), tokenizer, data, nullptr, ranks);
    if (!ranks.speaks()) return trainer.follow();
    after_two = after_two_rounds(trainer, &after_one);
    trainer.end();
  });
  // The first step of SGD with Nesterov's momentum 0.5 is 1.5 times the gradient.
  for (size_t i = 0; i < first.size(); ++i)
    ASSERT_NEAR(after_one[i], first[i] + 1.5 * (mean[i] - first[i]), 2e-6) << i;
  EXPECT_NE(after_two, after_one);
}

TEST(LocalSteps, OneProcessThatTakesAllOfEachRoundTrainsAsWithoutRounds) {
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  TrainConfig config = with_local_steps(2, 1);
  config.outer_learning_rate = 1;
  config.outer_momentum = 0;
  Trainer local(config, tokenizer, Corpus(text(), *tokenizer, 0));
  config.local_steps = 0;
  Trainer usual(config, tokenizer, Corpus(text(), *tokenizer, 0));
  const std::vector<float> numbers = after_two_rounds(local, nullptr),
                           expected = after_two_rounds(usual, nullptr);
  for (size_t i = 0; i < numbers.size(); ++i) ASSERT_NEAR(numbers[i], expected[i], 1e-5) << i;
}

TEST(LocalSteps, AStoppedRunEndsWithTheSameBits) {
  for (const bool carry : {false, true}) {
    TrainConfig config = with_local_steps(2, 2);
    config.carry_state = carry;
    config.dropout = 0.2;
    config.rounded_sums = carry;
    const TestFolder whole, resumed;
    train_on(2, config, 6, whole);
    train_on(2, config, 4, resumed);
    train_on(2, config, 6, resumed);
    EXPECT_TRUE(checkpoint_in(whole) == checkpoint_in(resumed)) << carry;
  }
}

TEST(LocalSteps, ARoundThatEndsBeforeItsTimeIsSaved) {
  const TrainConfig config = with_local_steps(4, 2);
  const TestFolder folder;
  train_on(2, config, 3, folder);
  train_on(2, config, 6, folder);
  EXPECT_EQ(read_run_progress(folder.path()).steps, 6);
}

TEST(LocalSteps, SendTheWeightsOncePerRound) {
  auto bytes_of = [](const TrainConfig& config, int64_t steps) {
    const TestFolder folder;
    return train_on(2, config, steps, folder);
  };
  TrainConfig common = with_local_steps(0, 2);
  const int64_t common_step = bytes_of(common, 5) - bytes_of(common, 1);
  const TrainConfig local = with_local_steps(4, 2);
  const int64_t round = bytes_of(local, 5) - bytes_of(local, 1);  // two rounds instead of one
  EXPECT_LT(round, common_step / 4 + common_step / 40);
  EXPECT_GT(round, common_step / 5);
}

TEST(LocalSteps, ARunGoesOnWithAsManyProcesses) {
  const TrainConfig config = with_local_steps(2, 4);
  const TestFolder folder;
  try {
    train_on(1, config, 2, folder);
    FAIL() << "one process trained a run of four";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("mpirun -np 4"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace aviary
