// A step without a tape uses its memory again; it computes what a step with one does.
#include "models/run.h"

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

}  // namespace
}  // namespace aviary
