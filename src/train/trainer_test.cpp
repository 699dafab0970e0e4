#include "train/trainer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files.h"
#include "checkpoints/checkpoint.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

// Repeats the same batches.
class FixedSource : public BatchSource {
 public:
  explicit FixedSource(std::vector<Batch> batches) : batches_(std::move(batches)) {}
  const Batch& batch(int64_t pass) override { return batches_[static_cast<size_t>(pass) % batches_.size()]; }

 private:
  std::vector<Batch> batches_;
};

TrainConfig small_config(int64_t accumulate) {
  TrainConfig config;
  config.model = {.version = "rwkv7", .n_layer = 2, .n_embd = 32, .vocab_size = 256, .head_size = 16};
  config.tokenizer = "bytes";
  config.context = 8;
  config.batch = 2;
  config.accumulate = accumulate;
  config.schedule = {.kind = ScheduleKind::constant, .start = 1e-3, .steps = 4, .warmup = 0};
  config.epsilon = 1e-8;
  return config;
}

Trainer trainer_with(int64_t accumulate, std::vector<Batch> batches) {
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  return Trainer(small_config(accumulate), tokenizer,
                 Corpus("A text that is only there because a trainer has one.\n", *tokenizer, 0),
                 std::make_unique<FixedSource>(std::move(batches)));
}

// Sequences of these lengths; targets at the rows where `mask` has an x.
Batch batch_of(const std::vector<int64_t>& lengths, const std::string& mask, int32_t first) {
  Batch batch;
  for (int64_t length : lengths) batch.sequences.append(length);
  batch.fresh.assign(lengths.size(), true);
  for (size_t row = 0; row < mask.size(); ++row) {
    batch.tokens.push_back(first + static_cast<int32_t>(row));
    batch.targets.push_back(mask[row] == 'x' ? first + static_cast<int32_t>(row) + 1 : -1);
  }
  return batch;
}

Batch joined(const Batch& a, const Batch& b) {
  Batch batch = a;
  for (int64_t s = 0; s < b.sequences.count(); ++s) batch.sequences.append(b.sequences.length(s));
  batch.tokens.insert(batch.tokens.end(), b.tokens.begin(), b.tokens.end());
  batch.targets.insert(batch.targets.end(), b.targets.begin(), b.targets.end());
  batch.fresh.insert(batch.fresh.end(), b.fresh.begin(), b.fresh.end());
  return batch;
}

TEST(Trainer, PassesWithDifferentMasksMakeOneStepOfAllTheirTargets) {
  const Batch a = batch_of({5, 7}, "....x......x", 10), b = batch_of({9}, "xxxxxxxxx", 90);
  Trainer apart = trainer_with(2, {a, b}), together = trainer_with(1, {joined(a, b)});
  for (int step = 0; step < 3; ++step) {
    const StepReport one = apart.step(), other = together.step();
    EXPECT_NEAR(one.loss, other.loss, 1e-5) << step;
    EXPECT_NEAR(one.gradient_norm, other.gradient_norm, 1e-4 * other.gradient_norm) << step;
  }
}

TEST(Trainer, AStepWithoutAnyTargetIsRefused) {
  Trainer one = trainer_with(1, {batch_of({4}, "....", 10)}),
          two = trainer_with(2, {batch_of({4}, "....", 10), batch_of({3}, "...", 20)});
  EXPECT_THROW(one.step(), Error);
  EXPECT_THROW(two.step(), Error);
}

TEST(Trainer, APassWithoutTargetsCountsForNothing) {
  const Batch silent = batch_of({4}, "....", 10), b = batch_of({9}, "xxxxxxxxx", 90);
  Trainer with = trainer_with(2, {silent, b}), without = trainer_with(1, {b});
  for (int step = 0; step < 2; ++step) {
    const StepReport one = with.step(), other = without.step();
    EXPECT_EQ(one.loss, other.loss);
    EXPECT_EQ(one.gradient_norm, other.gradient_norm);
  }
}

TEST(Trainer, ASequenceThatIsNotFreshGoesOnWithItsState) {
  // Two windows of one text: with carried state, the second gives another result than on its own.
  Batch first = batch_of({6}, "......", 10), second = batch_of({6}, "xxxxxx", 16), carried = second;
  carried.fresh = {false};
  Trainer with = trainer_with(2, {first, carried}), without = trainer_with(2, {first, second});
  with.step();  // a new model does not use its state
  without.step();
  EXPECT_NE(with.step().loss, without.step().loss);
  // The states of two sequences do not fit one sequence.
  Batch two = batch_of({3, 3}, "xxxxxx", 16);
  two.fresh = {false, false};
  Trainer wrong = trainer_with(1, {second, two});
  wrong.step();
  EXPECT_THROW(wrong.step(), Error);
}

TEST(Trainer, ARunOnFilesOfTokensGoesOnBitForBitInEitherOrder) {
  const TestFolder files;
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  const std::string text = "A text of which the trainer reads windows, each of them in its turn.\n";
  const auto write_tokens = [&](const std::string& name, int times) {
    std::vector<std::byte> bytes;
    for (int i = 0; i < times; ++i) append_tokens(tokenizer->encode(text), TokenType::uint16, bytes);
    TokenFileWriter writer(files / name, TokenType::uint16);
    writer.add(bytes);
    writer.commit();
  };
  write_tokens("one", 3);
  write_tokens("two", 2);
  const std::vector<DataRequest> requests = {{files / "one.bin"}, {files / "two.bin", 0.5}};
  for (const bool cubic : {false, true}) {
    auto trainer = [&] {
      TrainConfig config = small_config(1);
      config.cubic_order = cubic;
      return Trainer(config, new_model(config), tokenizer,
                     std::make_shared<TokenData>(TokenCorpus(requests, *tokenizer, 0)));
    };
    const TestFolder folder;
    Trainer whole = trainer(), first = trainer();
    for (int step = 0; step < 2; ++step) EXPECT_EQ(whole.step().loss, first.step().loss);
    first.save(folder.path());
    Trainer resumed = trainer();
    resumed.load(folder.path());
    for (int step = 0; step < 3; ++step) EXPECT_EQ(whole.step().loss, resumed.step().loss) << step;
  }
}

TEST(Trainer, ATextAndItsTokensGiveTheSameRun) {
  const TestFolder files;
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  std::string text;
  for (int i = 0; i < 20; ++i) text += "A line of a text, number " + std::to_string(i) + ".\n";
  std::vector<std::byte> bytes;
  append_tokens(tokenizer->encode(text), TokenType::int32, bytes);
  TokenFileWriter writer(files / "text", TokenType::int32);
  writer.add(bytes);
  writer.commit();
  const TrainConfig config = small_config(1);
  Trainer from_text(config, tokenizer, Corpus(text, *tokenizer));
  Trainer from_tokens(
      config, new_model(config), tokenizer,
      std::make_shared<TokenData>(TokenCorpus(std::vector<DataRequest>{{files / "text.bin"}}, *tokenizer)));
  for (int step = 0; step < 3; ++step) EXPECT_EQ(from_text.step().loss, from_tokens.step().loss);
  EXPECT_EQ(from_text.validate(), from_tokens.validate());
}

TEST(Trainer, ARunWithCarriedAndLearnedStatesGoesOnBitForBit) {
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  auto trainer = [&] {
    TrainConfig config = small_config(1);
    config.carry_state = true;
    config.model = {.version = "rwkv6", .n_layer = 2, .n_embd = 32, .vocab_size = 256, .head_size = 16};
    config.model.options.set("trainable_state", 1);
    std::string text;
    for (int i = 0; i < 20; ++i) text += "The sequences of a step go on where they stopped.\n";
    return Trainer(config, tokenizer, Corpus(text, *tokenizer, 0));
  };
  const TestFolder folder;
  Trainer whole = trainer(), first = trainer(), second = trainer();
  for (int step = 0; step < 3; ++step) {
    whole.step();
    first.step();
  }
  first.save(folder.path());
  second.load(folder.path());
  for (int step = 0; step < 2; ++step) EXPECT_EQ(whole.step().loss, second.step().loss) << step;
}

// What a run with these settings may have besides the weights.
struct Kind {
  const char* name;
  void (*set)(TrainConfig& config);
};

constexpr Kind kinds[] = {
    {"adamw", [](TrainConfig&) {}},
    {"lion", [](TrainConfig& c) { c.optimizer = OptimizerKind::lion; }},
    {"muon",
     [](TrainConfig& c) {
       c.optimizer = OptimizerKind::muon;
       c.momentum_warmup = 4;
     }},
    {"muon of RWKV-6, heads too",
     [](TrainConfig& c) {
       c.optimizer = OptimizerKind::muon;
       c.muon_of = "blocks.,head";
       c.model = {.version = "rwkv6", .n_layer = 2, .n_embd = 32, .vocab_size = 256, .head_size = 16};
     }},
    {"average", [](TrainConfig& c) { c.ema = 0.9; }},
    {"decay",
     [](TrainConfig& c) {
       c.weight_decay = 0.5;
       c.final_weight_decay = 0;
       c.cautious_decay = true;
     }},
    {"changes",
     [](TrainConfig& c) {
       c.changes = {{"0.4:accumulate", 2}, {"0.4:beta2", 0.9}, {"0.7:dropout", 0.1}, {"0.2:clip", 0.5}};
     }},
    {"cooldown",
     [](TrainConfig& c) {
       c.schedule.kind = ScheduleKind::sqrt;
       c.schedule.cooldown = 0.5;
       c.schedule.end = 0;
     }},
};

TEST(Trainer, ARunGoesOnBitForBitWithEveryOptimizerAndSchedule) {
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  for (const Kind& kind : kinds) {
    auto trainer = [&] {
      TrainConfig config = small_config(1);
      config.schedule.steps = 8;
      kind.set(config);
      std::string text;
      for (int i = 0; i < 30; ++i) text += "A run that was stopped goes on as if it had not been.\n";
      return Trainer(config, tokenizer, Corpus(text, *tokenizer, 100));
    };
    const TestFolder folder, at_the_end, of_the_other;
    Trainer whole = trainer(), first = trainer(), second = trainer();
    for (int step = 0; step < 4; ++step) {
      whole.step();
      first.step();
    }
    first.save(folder.path());
    second.load(folder.path());
    for (int step = 0; step < 4; ++step) {
      const StepReport one = whole.step(), other = second.step();
      EXPECT_EQ(one.loss, other.loss) << kind.name << " " << step;
      EXPECT_EQ(one.gradient_norm, other.gradient_norm) << kind.name << " " << step;
    }
    whole.save(at_the_end.path());
    second.save(of_the_other.path());
    const char* file = "checkpoint.safetensors";
    EXPECT_EQ(read_file(at_the_end.path() / file, 1 << 24), read_file(of_the_other.path() / file, 1 << 24))
        << kind.name;
  }
}

TEST(Trainer, TheMovingAverageIsKeptMeasuredAndSavedBesideTheWeights) {
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  TrainConfig config = small_config(1);
  config.ema = 0.5;
  std::string text;
  for (int i = 0; i < 30; ++i) text += "The average follows the weights.\n";
  Trainer trainer(config, tokenizer, Corpus(text, *tokenizer, 100));
  // By hand: of t steps, at most (1 + t) / (10 + t) stays.
  const Weight& weight = trainer.model().parameters().find("head.weight")->weight;
  std::vector<double> average = to_host(weight.value());
  for (int step = 1; step <= 3; ++step) {
    trainer.step();
    const double keep = std::min(0.5, (1.0 + step) / (10.0 + step));
    const std::vector<double> now = to_host(weight.value());
    for (size_t i = 0; i < now.size(); ++i) average[i] = keep * average[i] + (1 - keep) * now[i];
  }
  const std::vector<double> before = to_host(weight.value());
  const double bits = trainer.validate(), of_average = trainer.validate_average();
  EXPECT_NE(bits, of_average);
  EXPECT_EQ(to_host(weight.value()), before);
  const TestFolder folder;
  trainer.save(folder.path());
  const auto saved = load_checkpoint(folder.path() / "ema-model.safetensors");
  const std::vector<double> in_file = to_host(saved.model->parameters().find("head.weight")->weight.value());
  for (size_t i = 0; i < in_file.size(); ++i) EXPECT_NEAR(in_file[i], average[i], 1e-6);
  EXPECT_EQ(to_host(weight.value()), before);
}

}  // namespace
}  // namespace aviary
