#include "compare/sweep.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "support/test_folder.h"
#include "train/plan.h"

namespace aviary {
namespace {

SweepResult result_with(double validation) {
  return {.validation = validation,
          .training_loss = 2,
          .seconds_per_step = 0.1,
          .steps = 10,
          .tokens_per_step = 64};
}

TEST(Sweep, IntervalsAreThoseOfStudent) {
  const std::vector<double> numbers{1, 2, 3};
  const MeanOf mean = mean_of(numbers);
  EXPECT_DOUBLE_EQ(mean.mean, 2);
  EXPECT_NEAR(mean.half, 4.303 / std::sqrt(3.0), 1e-9);  // the deviation is 1
  EXPECT_EQ(mean.count, 3);
  EXPECT_TRUE(std::isnan(mean_of(std::span(numbers).first(1)).half));
  EXPECT_TRUE(std::isnan(mean_of(std::span<const double>()).mean));
}

TEST(Sweep, DifferencesArePairedBySeed) {
  const SweepVariant base{"", {result_with(1.5), result_with(1.7), result_with(1.6)}},
      other{"--lion", {result_with(1.4), result_with(1.6), {}}};
  const MeanOf difference = difference_of(other, base, &SweepResult::validation);
  EXPECT_NEAR(difference.mean, -0.1, 1e-12);
  EXPECT_NEAR(difference.half, 0, 1e-12);
  EXPECT_EQ(difference.count, 2);
}

TEST(Sweep, ThePageNamesWhatWasTriedAndTheTableHasALineForEachRun) {
  const Sweep sweep{
      "novel <1>",
      "--steps 10",
      {1, 2},
      {{"", {result_with(1.5), result_with(1.7)}}, {"--dropout \"0.1\"", {result_with(1.4), {}}}}};
  const std::string page = sweep_page(sweep), table = sweep_table(sweep);
  EXPECT_NE(page.find("novel &lt;1&gt;"), std::string::npos);
  EXPECT_NE(page.find("1.6000<small>±"), std::string::npos) << page;
  EXPECT_NE(page.find("-0.1000<small>one seed"), std::string::npos) << page;
  EXPECT_NE(table.find("\"--dropout \"\"0.1\"\"\",1,1.4,"), std::string::npos) << table;
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 4);
}

TEST(Sweep, ItsTableIsReadAgain) {
  const TestFolder folder;
  EXPECT_FALSE(read_sweep(folder.path()));
  const Sweep sweep{
      "novel",
      "",
      {7, 8},
      {{"", {result_with(1.5), result_with(1.7)}}, {"--dropout \"0.1\", x", {{}, result_with(1.4)}}}};
  write_file_atomically(folder / "sweep.csv", sweep_table(sweep));
  const std::optional<Sweep> read = read_sweep(folder.path());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->seeds, sweep.seeds);
  ASSERT_EQ(read->variants.size(), 2u);
  EXPECT_EQ(read->variants[1].name, sweep.variants[1].name);
  EXPECT_FALSE(read->variants[1].results[0]);
  EXPECT_TRUE(std::isnan(read->variants[1].results[1]->test));
  EXPECT_EQ(sweep_table(*read), sweep_table(sweep));
  write_file_atomically(folder / "sweep.csv", std::string_view("settings,seed\n\"a,b\n,,,,\n1\n"));
  EXPECT_LE(read_sweep(folder.path())->variants.size(), 1u);
}

// A run of a tiny model on a text, into folder/run.
class SweptRun : public testing::Test {
 protected:
  SweptRun() {
    const TokenizerPtr tokenizer = make_bytes_tokenizer();
    run_.config.model = {.version = "rwkv7", .n_layer = 1, .n_embd = 32, .vocab_size = 256, .head_size = 16};
    run_.config.tokenizer = "bytes";
    run_.config.context = 8;
    run_.config.batch = 2;
    run_.config.schedule.steps = 3;
    std::string text;
    for (int i = 0; i < 20; ++i) text += "Every setting has its day.\n";
    run_.folder = folder_ / "run";
    run_.label = "run";
    run_.tokenizer = tokenizer;
    run_.data = std::make_shared<TextData>(Corpus(text, *tokenizer, 100));
    run_.test = [](Trainer&) { return 1.25; };
    run_.out = nowhere_;
  }
  ~SweptRun() override { static_cast<void>(std::fclose(nowhere_)); }

  const TestFolder folder_;
  std::FILE* nowhere_ = std::tmpfile();
  SweepRun run_;
};

TEST_F(SweptRun, IsDoneOnceAndItsResultIsKept) {
  EXPECT_FALSE(read_sweep_result(run_.folder));
  EXPECT_EQ(run_of_sweep(run_), SweepEnd::finished);
  const std::optional<SweepResult> result = read_sweep_result(run_.folder);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->steps, 3);
  EXPECT_EQ(result->tokens_per_step, 16);
  EXPECT_EQ(result->test, 1.25);
  EXPECT_GT(result->validation, 0);
  run_.test = [](Trainer&) -> double { throw Error("it was not to be measured again"); };
  EXPECT_EQ(run_of_sweep(run_), SweepEnd::finished);
}

TEST_F(SweptRun, WithOtherSettingsIsRefusedAlsoWhenItIsFinished) {
  EXPECT_EQ(run_of_sweep(run_), SweepEnd::finished);
  run_.config.schedule.steps = 4;
  try {
    run_of_sweep(run_);
    FAIL() << "the result of 3 steps stands for one of 4";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("steps is 3 there and 4 here"), std::string::npos)
        << error.what();
  }
}

TEST_F(SweptRun, ByMinutesGoesOnWithTheStepsThatItHasFound) {
  run_.config.schedule.steps.reset();
  run_.config.schedule.fit_warmup = true;
  run_.config.minutes = 1e-3;
  EXPECT_EQ(run_of_sweep(run_), SweepEnd::finished);
  std::filesystem::remove(run_.folder / "sweep-result.json");  // as if it had been stopped before
  EXPECT_EQ(run_of_sweep(run_), SweepEnd::finished);
}

}  // namespace
}  // namespace aviary
