#include "train/session.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "support/test_folder.h"
#include "train/log.h"

namespace aviary {
namespace {

constexpr int64_t session_steps = 160;

std::string some_text() {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "abcdefghijklmnopqrstuvwxyz 0123456789\n";
  return text;
}

TrainConfig session_config() {
  TrainConfig config;
  config.model = {.version = "rwkv7", .n_layer = 2, .n_embd = 32, .vocab_size = 256, .head_size = 16};
  config.tokenizer = "bytes";
  config.context = 16;
  config.batch = 2;
  config.schedule = {.kind = ScheduleKind::constant, .start = 3e-3, .steps = session_steps, .warmup = 0};
  config.epsilon = 1e-8;
  config.checkpoint_every = 50;
  config.validate_every = 0;
  config.sample_every = 0;
  return config;
}

// Windows of a text, but in some passes with targets that cannot be learned.
class SpoiledSource : public BatchSource {
 public:
  SpoiledSource(Corpus corpus, int64_t first, int64_t last)
      : corpus_(std::move(corpus)), windows_(corpus_.train, 16, 2, 1), first_(first), last_(last) {}
  const Batch& batch(int64_t pass) override {
    batch_ = windows_.batch(pass);
    Random random(static_cast<uint64_t>(pass));
    if (first_ <= pass && pass < last_)
      for (int32_t& target : batch_.targets) target = static_cast<int32_t>(random.below(256));
    return batch_;
  }

 private:
  Corpus corpus_;
  WindowSource windows_;
  int64_t first_, last_;
  Batch batch_;
};

struct Told {
  std::FILE* file = std::tmpfile();
  ~Told() { static_cast<void>(std::fclose(file)); }
  std::string text() const {
    std::string all;
    std::rewind(file);
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) all += static_cast<char>(c);
    return all;
  }
};

Trainer session_trainer(const TrainConfig& config, int64_t spoiled_from, int64_t spoiled_to) {
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  return Trainer(
      config, tokenizer, Corpus(some_text(), *tokenizer, 100),
      std::make_unique<SpoiledSource>(Corpus(some_text(), *tokenizer, 100), spoiled_from, spoiled_to));
}

TEST(Session, ARunThatGoesAstrayGoesBackAndOnPastTheBatches) {
  const TestFolder folder;
  const Told told;
  Trainer trainer = session_trainer(session_config(), 130, 133);
  EXPECT_EQ(run_session(trainer, {.folder = folder.path(), .sample_prompt = "", .out = told.file}),
            SessionEnd::finished);
  EXPECT_NE(told.text().find("step 133: the loss has risen to"), std::string::npos) << told.text();
  EXPECT_NE(told.text().find("goes back to step 100"), std::string::npos) << told.text();
  const std::vector<StepReport> log = read_log(folder.path());
  ASSERT_EQ(std::ssize(log), session_steps);
  for (int64_t i = 0; i < session_steps; ++i) EXPECT_EQ(log[static_cast<size_t>(i)].step, i + 1);
  EXPECT_LT(log.back().loss, 2);
  // The checkpoint remembers which batches come next.
  Trainer again = session_trainer(session_config(), 130, 133);
  again.load(folder.path());
  again.set_steps(session_steps + 1);
  trainer.set_steps(session_steps + 1);
  EXPECT_EQ(again.step().loss, trainer.step().loss);
}

TEST(Session, ARunThatShallNotGoBackGoesOn) {
  const TestFolder folder;
  const Told told;
  TrainConfig config = session_config();
  config.roll_back = false;
  Trainer trainer = session_trainer(config, 130, 133);
  EXPECT_EQ(run_session(trainer, {.folder = folder.path(), .sample_prompt = "", .out = told.file}),
            SessionEnd::finished);
  EXPECT_EQ(told.text().find("goes back"), std::string::npos) << told.text();
}

// Minutes of a machine that becomes half as fast after 200 steps.
double seconds_of(int64_t step) {
  return 0.1 * static_cast<double>(step) + 0.1 * static_cast<double>(std::max<int64_t>(0, step - 200));
}

TEST(Session, ARunByMinutesEndsInTimeAndCanBeRepeatedBitForBit) {
  const TestFolder folder;
  const Told told;
  TrainConfig config = session_config();
  config.minutes = 1;
  config.schedule = {.kind = ScheduleKind::linear, .start = 3e-3, .end = 3e-5, .warmup = 20};
  config.weight_decay = 0.1;
  Trainer trainer = session_trainer(config, 0, 0);
  EXPECT_EQ(run_session(trainer, {.folder = folder.path(),
                                  .sample_prompt = "",
                                  .clock = [&] { return 1000 + seconds_of(trainer.steps_done()); },
                                  .out = told.file}),
            SessionEnd::finished);
  EXPECT_NEAR(seconds_of(trainer.steps_done()), 60, 1);
  EXPECT_NE(told.text().find("of 1 minutes"), std::string::npos) << told.text();
  const TrainConfig found = read_run_config(folder.path());
  EXPECT_EQ(found.schedule.steps, trainer.steps_done());
  EXPECT_GT(found.schedule.corrections.size(), 1u);
  const std::vector<StepReport> log = read_log(folder.path());
  EXPECT_LT(log.back().learning_rate, 6e-5);
  // As a run that was killed does, with the steps that were found out.
  Trainer again = session_trainer(found, 0, 0);
  for (const StepReport& report : log) {
    const StepReport repeated = again.step();
    ASSERT_EQ(repeated.learning_rate, report.learning_rate) << report.step;
    ASSERT_EQ(repeated.loss, report.loss) << report.step;
  }
}

TEST(Session, ARunByMinutesCountsWhatWasUsedBefore) {
  const TestFolder folder;
  const Told told;
  TrainConfig config = session_config();
  config.minutes = 1;
  config.schedule.steps.reset();
  Trainer trainer = session_trainer(config, 0, 0);
  run_session(trainer, {.folder = folder.path(),
                        .sample_prompt = "",
                        .used_seconds = 50,
                        .clock = [&] { return 0.1 * static_cast<double>(trainer.steps_done()); },
                        .out = told.file});
  EXPECT_NEAR(static_cast<double>(trainer.steps_done()), 100, 2);
}

TEST(Session, AFirstLossThatIsNotThatOfAGuessIsTold) {
  for (const float factor : {1.0f, 100.0f}) {
    const TestFolder folder;
    const Told told;
    TrainConfig config = session_config();
    config.schedule.steps = 1;
    Trainer trainer = session_trainer(config, 0, 0);
    Weight& head = trainer.model().parameters().find("head.weight")->weight;
    for (int64_t i = 0; i < head.shape().count(); ++i) head.value().as<float>()[i] *= factor;
    head.changed();
    run_session(trainer, {.folder = folder.path(), .sample_prompt = "", .out = told.file});
    EXPECT_EQ(told.text().find("note: the loss of the first step") != std::string::npos, factor > 1)
        << told.text();
  }
}

}  // namespace
}  // namespace aviary
