#include "train/long_pass.h"

#include "base/difference.h"
#include "base/error.h"
#include "models/registry.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

using Gradients = std::vector<std::vector<double>>;

// Three sequences of different lengths, of whose targets some are masked.
Batch ragged_batch() {
  Batch batch;
  Random random(5);
  for (int64_t length : {61, 8, 30}) batch.sequences.append(length);
  batch.fresh.assign(3, true);
  for (int64_t row = 0; row < batch.sequences.rows(); ++row) {
    batch.tokens.push_back(static_cast<int32_t>(random.below(30)));
    batch.targets.push_back(row % 3 == 0 || (row > 14 && row < 24) ? -1
                                                                   : static_cast<int32_t>(random.below(30)));
  }
  return batch;
}

// The gradients of all parameters and of the first states, the last states and the loss.
Gradients gradients(Model& model, const Batch& batch, int64_t chunk, int64_t most_states,
                    bool recompute = false) {
  model.parameters().set_trainable(false);
  model.parameters().set_trainable(true);
  Runner runner(model);
  std::vector<State> states = runner.new_states(3);
  const Runner::Training training{.loss = {.scale = 0.5}, .first_state = true, .recompute = recompute};
  Gradients result;
  result.push_back({chunk > 0 ? long_loss_and_gradients(runner, batch, states, training,
                                                        {.chunk = chunk, .most_states = most_states})
                              : runner.loss_and_gradients(batch.tokens, batch.targets, batch.sequences,
                                                          states, training)});
  for (Parameter& parameter : model.parameters())
    if (!parameter.spec.constant) result.push_back(to_host(parameter.weight.gradient()));
  for (size_t i = 0; i < model.state_specs().size(); ++i) {
    const Tensor gradient = runner.first_state_gradient(i);
    result.push_back(gradient.empty() ? std::vector<double>() : to_host(gradient));
    for (const State& state : states) result.push_back(to_host(state[i]));
  }
  return result;
}

void expect_close(const Gradients& a, const Gradients& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    double scale = 1e-12;
    for (double value : b[i]) scale = larger(scale, std::abs(value));
    EXPECT_LE(largest_difference(a[i], b[i]), tolerance * scale) << "tensor " << i;
  }
}

class LongPassOf : public testing::TestWithParam<std::string> {};

TEST_P(LongPassOf, ChunksHaveTheGradientsOfTheWhole) {
  const Batch batch = ragged_batch();
  const auto model = noisy_double_model(
      {.version = GetParam(), .n_layer = 2, .n_embd = 32, .vocab_size = 30, .ctx_len = 64});
  if (Runner(*model).new_state().layout().has_histories()) {
    EXPECT_THROW(gradients(*model, batch, 7, 1 << 20), Error);
    return;
  }
  const Gradients whole = gradients(*model, batch, 0, 0);
  for (int64_t chunk : {7, 30}) {
    expect_close(gradients(*model, batch, chunk, 1 << 30), whole, 1e-9);
    expect_close(gradients(*model, batch, chunk, 0), whole, 1e-9);  // most states are computed again
  }
  expect_close(gradients(*model, batch, 7, 0, true), whole, 1e-9);
}

TEST_P(LongPassOf, InFloat32TheyAgreeWithinRounding) {
  const auto model =
      noisy_model({.version = GetParam(), .n_layer = 2, .n_embd = 64, .vocab_size = 30, .ctx_len = 64});
  if (Runner(*model).new_state().layout().has_histories()) GTEST_SKIP() << "the state grows with the text";
  const Batch batch = ragged_batch();
  expect_close(gradients(*model, batch, 7, 1 << 30), gradients(*model, batch, 0, 0), 2e-4);
}

INSTANTIATE_TEST_SUITE_P(Versions, LongPassOf, testing::ValuesIn(version_names()), test_name);

TEST(LongPass, KeepsAsManyStatesAsFit) {
  const Sequences sequences = Sequences::uniform(1, 100 * 512);
  auto stride = [&](int64_t states) {
    return LongPass{.chunk = 512, .most_states = states * 1000}.stride(sequences, 1000);
  };
  EXPECT_EQ(stride(100), 1);
  EXPECT_EQ(stride(99), 2);  // 50 are kept, and one between two of them
  EXPECT_EQ(stride(51), 2);
  EXPECT_EQ(stride(50), 3);
  EXPECT_EQ(stride(20), 8);   // 13 and 7
  EXPECT_EQ(stride(19), 10);  // 10 and 9, the least
  EXPECT_EQ(stride(1), 10);
}

TEST(LongPass, RefusesDropoutAndABatchWithoutTargets) {
  const auto model = noisy_model({.version = "rwkv7", .n_layer = 2, .n_embd = 64, .vocab_size = 30});
  Runner runner(*model);
  Batch batch = ragged_batch();
  std::vector<State> states = runner.new_states(3);
  Random random(1);
  EXPECT_THROW(long_loss_and_gradients(runner, batch, states,
                                       {.dropout = {.probability = 0.1, .random = &random}}, {.chunk = 7}),
               Error);
  batch.targets.assign(batch.targets.size(), -1);
  EXPECT_THROW(long_loss_and_gradients(runner, batch, states, {}, {.chunk = 7}), Error);
}

}  // namespace
}  // namespace aviary
