// A step without a tape uses its memory again; it computes what a step with one does.
#include "models/run.h"

#include <cmath>
#include <limits>

#include "support/test_versions.h"

namespace aviary {
namespace {

class MemoryUsedAgain : public testing::TestWithParam<std::string> {};

TEST_P(MemoryUsedAgain, TheLossIsTheSameAsWithATape) {
  const std::unique_ptr<Model> model =
      noisy_model({.version = GetParam(), .n_layer = 5, .n_embd = 64, .vocab_size = 30, .ctx_len = 32});
  model->parameters().set_trainable(true);
  Random random(4);
  std::vector<int32_t> tokens, targets;
  for (int i = 0; i < 2 * 16; ++i) {
    tokens.push_back(static_cast<int32_t>(random.below(30)));
    targets.push_back(static_cast<int32_t>(random.below(30)));
  }
  const Sequences sequences = Sequences::uniform(2, 16);
  Runner runner(*model);
  State taped = runner.new_state(2), reusing = runner.new_state(2);
  const double with = runner.loss_and_gradients(tokens, targets, sequences, taped, {});
  const double without = runner.loss(tokens, targets, sequences, reusing);
  EXPECT_NEAR(without, with, 1e-5 * with);
  EXPECT_LE(largest_difference(taped, reusing), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Versions, MemoryUsedAgain, testing::ValuesIn(version_names()), test_name);

class WantedRows : public testing::TestWithParam<std::string> {};

// Where a version can look at 12 tokens only, the sequence of 20 reaches beyond.
TEST_P(WantedRows, AreThoseOfAllRows) {
  const std::unique_ptr<Model> model =
      noisy_model({.version = GetParam(), .n_layer = 2, .n_embd = 32, .vocab_size = 30, .ctx_len = 12});
  Random random(5);
  Sequences sequences;
  for (int64_t length : {3, 20, 1}) sequences.append(length);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < sequences.rows(); ++i) tokens.push_back(static_cast<int32_t>(random.below(30)));
  Runner runner(*model);
  State all_read = runner.new_state(3);
  const std::vector<double> all = to_host(runner.all_logits(tokens, sequences, all_read));
  const std::vector<std::vector<int64_t>> choices = {{}, {2, 22, 23}, {5, 6, 7}, {23, 0, 9, 9}};
  for (const std::vector<int64_t>& wanted : choices) {
    State state = runner.new_state(3);
    const std::vector<double> chosen = to_host(runner.logits(tokens, sequences, state, wanted));
    std::vector<double> expected;
    for (int64_t row : wanted)
      expected.insert(expected.end(), all.begin() + row * 30, all.begin() + (row + 1) * 30);
    EXPECT_EQ(chosen, expected);
    EXPECT_EQ(largest_difference(state, all_read), 0);
  }
  State state = runner.new_state(3);
  EXPECT_EQ(to_host(runner.last_logits(tokens, sequences, state)).size(), 90u);
  const std::vector<int64_t> outside = {24};
  EXPECT_THROW(runner.logits(tokens, sequences, state, outside), Error);
}

INSTANTIATE_TEST_SUITE_P(Versions, WantedRows, testing::ValuesIn(version_names()), test_name);

TEST(State, DifferencesKeepANaN) {
  const std::vector<StateSpec> specs = {{"a", StateKind::recurrence, {3}}, {"b", StateKind::recurrence, {2}}};
  State a(specs, 1, Dtype::f32), b(specs, 1, Dtype::f32);
  from_host({1, std::numeric_limits<double>::quiet_NaN(), 3.5}, a[0]);
  from_host({1, 2, 3}, b[0]);
  EXPECT_TRUE(std::isnan(largest_difference(a, b)));
  EXPECT_TRUE(std::isnan(largest_difference(b, a)));
}

}  // namespace
}  // namespace aviary
