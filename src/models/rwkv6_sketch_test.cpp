#include <gtest/gtest.h>

#include "models/registry.h"
#include "models/run.h"

namespace aviary {
namespace {

// Numbers that depend only on the name of a parameter.
void fill(Model& model) {
  for (Parameter& parameter : model.parameters()) {
    Random random(std::hash<std::string>()(parameter.spec.name));
    std::vector<double> values = to_host(parameter.weight.value());
    for (double& value : values) value = 0.3 * random.normal();
    if (parameter.spec.name.ends_with("_w1")) std::fill(values.begin(), values.end(), 0.0);
    from_host(values, parameter.weight.value());
  }
  model.parameters().changed();
}

// There is no code of the sketch to compute reference data, but by its definition it equals RWKV-5.2 if w1 is
// 0.
TEST(Rwkv6Sketch, WithoutLowRankProjectionsEqualsRwkv52BitForBit) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    std::vector<std::vector<double>> logits, states;
    std::vector<double> loss, gradients;
    for (const char* version : {"rwkv5.2", "rwkv6-sketch"}) {
      auto model = create_model(
          {.version = version, .n_layer = 2, .n_embd = 32, .vocab_size = 11, .head_size = 16}, dtype);
      fill(*model);
      Runner runner(*model);
      const Sequences sequences = Sequences::uniform(2, 20);
      std::vector<int32_t> tokens, targets;
      for (int32_t i = 0; i < 40; ++i) {
        tokens.push_back(i * i % 11);
        targets.push_back((i + 3) * i % 11);
      }
      std::vector<State> both = runner.new_states(2);
      logits.push_back(to_host(runner.all_logits(tokens, sequences, both)));
      for (const State& state : both)
        for (size_t i = 0; i < state.size(); ++i) states.push_back(to_host(state[i]));
      model->parameters().set_trainable(true);
      loss.push_back(runner.loss_and_gradients(tokens, targets, sequences, both, {}));
      const Parameter* key = model->parameters().find("blocks.1.att.key.weight");
      for (double value : to_host(key->weight.gradient())) gradients.push_back(value);
    }
    EXPECT_EQ(logits[0], logits[1]);
    for (size_t i = 0; i < states.size() / 2; ++i) EXPECT_EQ(states[i], states[states.size() / 2 + i]) << i;
    EXPECT_EQ(loss[0], loss[1]);
    for (size_t i = 0; i < gradients.size() / 2; ++i)
      ASSERT_EQ(gradients[i], gradients[gradients.size() / 2 + i]) << i;
  }
}

// w1 and w2 have an effect on every mixture.
TEST(Rwkv6Sketch, EveryLowRankProjectionMatters) {
  auto model = create_model({.version = "rwkv6-sketch", .n_layer = 1, .n_embd = 32, .vocab_size = 11});
  model->parameters().initialize(1);
  Random random(2);
  for (Parameter& parameter : model->parameters()) {
    std::vector<double> values = to_host(parameter.weight.value());
    for (double& value : values) value += 0.3 * random.normal();
    from_host(values, parameter.weight.value());
  }
  const std::vector<int32_t> tokens{1, 2, 3};
  auto logits = [&] {
    model->parameters().changed();
    Runner runner(*model);
    State state = runner.new_state();
    return to_host(runner.all_logits(tokens, Sequences::uniform(1, 3), state));
  };
  const std::vector<double> before = logits();
  int maps = 0;
  for (Parameter& parameter : model->parameters()) {
    if (!parameter.spec.name.ends_with("_w1")) continue;
    ++maps;
    const std::vector<double> values = to_host(parameter.weight.value());
    from_host(std::vector<double>(values.size()), parameter.weight.value());
    EXPECT_NE(logits(), before) << parameter.spec.name;
    from_host(values, parameter.weight.value());
  }
  EXPECT_EQ(maps, 6);
}

}  // namespace
}  // namespace aviary
