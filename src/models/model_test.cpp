// Runs the blocks of a model separately.
#include "models/model.h"

#include <algorithm>

#include "support/test_versions.h"

namespace aviary {
namespace {

constexpr int64_t layers = 3;

class Blocks : public testing::TestWithParam<std::string> {
 protected:
  Blocks()
      : model_(noisy_model(
            {.version = GetParam(), .n_layer = layers, .n_embd = 32, .vocab_size = 30, .ctx_len = 32})) {}

  Context context(bool taped) {
    Context c{arena_, sequences_};
    if (taped) c.tape = &tape_;
    c.reuse = !taped;
    return c;
  }
  // The state of the two sequences before the first token.
  std::vector<Var> start() {
    std::vector<State> states(2, State(model_->state_specs(), Dtype::f32));
    for (State& state : states) state.reserve(16);
    parts_.clear();
    std::vector<Var> vars;
    for (size_t i = 0; i < states[0].size(); ++i) {
      parts_.push_back(stacked(states, i));
      vars.push_back({parts_.back().view()});
    }
    return vars;
  }
  // The rows of x after each block, run by run.
  std::vector<std::vector<double>> rows_after_each(bool taped) {
    Context c = context(taped);
    std::vector<Var> state = start();
    Stream s = model_->start(c, tokens_, state);
    std::vector<std::vector<double>> rows{to_host(s.x.value)};
    for (int64_t layer = 0; layer < layers; ++layer) {
      model_->run(c, s, layer, layer + 1);
      rows.push_back(to_host(s.x.value));
    }
    return rows;
  }

  std::unique_ptr<Model> model_;
  const Sequences sequences_ = Sequences::uniform(2, 16);
  const std::vector<int32_t> tokens_ = [] {
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < 32; ++i) tokens.push_back(i * 7 % 30);
    return tokens;
  }();
  Arena arena_;
  Tape tape_{arena_};
  std::vector<OwnedTensor> parts_;  // of the states
};

TEST_P(Blocks, RunOneByOneGiveTheSameAsAllAtOnce) {
  const std::vector<std::vector<double>> rows = rows_after_each(false);
  Context c = context(false);
  std::vector<Var> state = start();
  Stream s = model_->start(c, tokens_, state);
  model_->run(c, s, 0, layers);
  EXPECT_EQ(to_host(s.x.value), rows.back());
  EXPECT_NE(rows[1], rows[2]);
}

TEST_P(Blocks, MemoryThatIsUsedAgainChangesNothingBetweenThem) {
  const std::vector<std::vector<double>> reused = rows_after_each(false), kept = rows_after_each(true);
  for (size_t layer = 0; layer < kept.size(); ++layer)
    for (size_t i = 0; i < kept[layer].size(); ++i)
      ASSERT_NEAR(reused[layer][i], kept[layer][i], 1e-4) << "after block " << layer << ", element " << i;
}

TEST_P(Blocks, ThatAModelDoesNotHaveAreRefused) {
  Context c = context(false);
  std::vector<Var> state = start();
  Stream s = model_->start(c, tokens_, state);
  EXPECT_THROW(model_->run(c, s, 0, layers + 1), Error);
  EXPECT_THROW(model_->run(c, s, 2, 1), Error);
}

INSTANTIATE_TEST_SUITE_P(Versions, Blocks, testing::ValuesIn(version_names()), test_name);

}  // namespace
}  // namespace aviary
