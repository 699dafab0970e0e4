#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "models/registry.h"
#include "models/run.h"

namespace aviary {
namespace {

std::unique_ptr<Model> small_model() {
  auto model = create_model(
      complete({.version = "rwkv7", .n_layer = 2, .n_embd = 32, .vocab_size = 40, .head_size = 16}));
  model->parameters().initialize(3);
  return model;
}

// Accumulates the gradients for some tokens.
double gather(Model& model) {
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6}, targets = {2, 3, 4, 5, 6, 7};
  Runner runner(model);
  std::vector<State> states = runner.new_states(2);
  return runner.loss_and_gradients(tokens, targets, Sequences::uniform(2, 3), states, {});
}

std::vector<double> values_of(const Model& model) {
  std::vector<double> values;
  for (const Parameter& parameter : model.parameters()) {
    const std::vector<double> own = to_host(parameter.weight.value());
    values.insert(values.end(), own.begin(), own.end());
  }
  return values;
}

// Another rule, with one moment: moves every number by the rate against the sign of an average of the
// gradients.
class SignRule : public UpdateRule {
 public:
  std::vector<MomentSpec> moments(const ParameterSpec& parameter) const override {
    return {{"average", parameter.shape}};
  }
  void update(const UpdateStep&, std::span<const UpdatedWeight> weights) const override {
    for (const UpdatedWeight& weight : weights) {
      for (int64_t i = 0; i < weight.value.count(); ++i) {
        float& average = weight.moments[0].as<float>()[i];
        average += 0.1f * (weight.gradient.as<float>()[i] - average);
        if (average != 0)
          weight.value.as<float>()[i] -= std::copysign(static_cast<float>(weight.learning_rate), average);
      }
      set_zero(weight.gradient);
    }
  }
};

double norm_of(const std::vector<double>& numbers) {
  double squares = 0;
  for (const double x : numbers) squares += x * x;
  return std::sqrt(squares);
}

TEST(Optimizer, NormsOfTheLayersMakeUpThatOfTheGradient) {
  auto model = small_model();
  Optimizer optimizer(*model, adamw_groups(model->parameters(), {}), 1);
  gather(*model);
  std::vector<double> of_block, of_embedding, of_head;
  for (const Parameter& parameter : model->parameters()) {
    const std::string& name = parameter.spec.name;
    const std::vector<double> gradient = to_host(parameter.weight.gradient());
    auto& part = name.starts_with("blocks.1.") ? of_block : name == "emb.weight" ? of_embedding : of_head;
    if (!name.starts_with("blocks.0.")) part.insert(part.end(), gradient.begin(), gradient.end());
  }
  const double norm = optimizer.step(1e-3);
  const std::vector<double> norms = optimizer.layer_norms();
  ASSERT_EQ(norms.size(), 4u);  // embedding, two blocks, head
  EXPECT_NEAR(norms[0], norm_of(of_embedding), 1e-5 * norms[0]);
  EXPECT_NEAR(norms[2], norm_of(of_block), 1e-5 * norms[2]);
  EXPECT_NEAR(norms[3], norm_of(of_head), 1e-5 * norms[3]);
  EXPECT_NEAR(norm_of(norms), norm, 1e-12 * norm);
}

TEST(Optimizer, ALayerOfWhichNothingIsTrainedHasNoNorm) {
  auto model = small_model();
  Optimizer optimizer(*model, adamw_groups(model->parameters(), {.only = {"blocks.1.ffn.value.weight"}}), 1);
  gather(*model);
  const double norm = optimizer.step(1e-3);
  const std::vector<double>& norms = optimizer.layer_norms();
  ASSERT_EQ(norms.size(), 4u);
  EXPECT_TRUE(std::isnan(norms[0]) && std::isnan(norms[1]) && std::isnan(norms[3]));
  EXPECT_GT(norm, 0);
  EXPECT_EQ(norms[2], norm);
}

TEST(Optimizer, WeightAndBiasOfANormHaveTheirGradientsAlsoAlone) {
  for (const char* name : {"ln_out.weight", "ln_out.bias"}) {
    auto whole = small_model(), part = small_model();
    const Optimizer all(*whole, adamw_groups(whole->parameters(), {}), 1),
        one(*part, adamw_groups(part->parameters(), {.only = {name}}), 1);
    gather(*whole);
    gather(*part);
    const std::vector<double> gradient = to_host(part->parameters().find(name)->weight.gradient());
    EXPECT_EQ(gradient, to_host(whole->parameters().find(name)->weight.gradient())) << name;
    EXPECT_GT(norm_of(gradient), 0) << name;
  }
}

TEST(Optimizer, GradientsAreViewsOfOneBufferThatAStepLeavesAtZero) {
  auto model = small_model();
  Optimizer optimizer(*model, adamw_groups(model->parameters(), {}), 1);
  const Tensor all = optimizer.gradients();
  const auto* begin = all.as<float>();
  const float* last = begin;
  double squares = 0;
  gather(*model);
  for (const Parameter& parameter : model->parameters()) {
    const Tensor& gradient = parameter.weight.gradient();
    EXPECT_GE(gradient.as<float>(), last) << parameter.spec.name;
    last = gradient.as<float>() + gradient.count();
    EXPECT_LE(last, begin + all.count());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(gradient.data()) % 64, 0u) << parameter.spec.name;
    for (double x : to_host(gradient)) squares += x * x;
  }
  double of_buffer = 0;
  for (double x : to_host(all)) of_buffer += x * x;
  EXPECT_GT(of_buffer, 0);
  EXPECT_NEAR(of_buffer, squares, 1e-9 * squares);
  EXPECT_NEAR(optimizer.step(1e-3), std::sqrt(squares), 1e-5 * std::sqrt(squares));
  for (double x : to_host(all)) EXPECT_EQ(x, 0);
}

TEST(Optimizer, MomentsHaveTheNamesOfCheckpoints) {
  auto model = small_model();
  const Optimizer optimizer(*model, adamw_groups(model->parameters(), {}), 1);
  std::vector<std::string> expected, names;
  for (const Parameter& parameter : model->parameters())
    for (const char* moment : {"m.", "v."}) expected.push_back(moment + parameter.spec.name);
  for (const Optimizer::Moment& moment : optimizer.moments()) names.push_back(moment.name);
  EXPECT_EQ(names, expected);
}

TEST(Optimizer, GroupsHaveTheirOwnRulesRatesAndMoments) {
  auto model = small_model();
  ParameterGroup matrices{.rule = std::make_shared<SignRule>(), .learning_rate_scale = 0.5},
      others{.rule = std::make_shared<AdamW>(0.9, 0.99, 1e-8)};
  std::set<const Parameter*> signs;
  for (Parameter& parameter : model->parameters()) {
    const bool matrix = parameter.spec.decay;
    (matrix ? matrices : others).parameters.emplace_back(parameter);
    if (matrix) signs.insert(&parameter);
  }
  ASSERT_FALSE(signs.empty());
  ASSERT_FALSE(others.parameters.empty());
  Optimizer optimizer(*model, {matrices, others}, 0);
  std::vector<std::vector<double>> before;
  for (const Parameter& parameter : model->parameters()) before.push_back(to_host(parameter.weight.value()));
  gather(*model);
  optimizer.step(1e-2);
  size_t i = 0;
  for (const Parameter& parameter : model->parameters()) {
    const std::vector<double> after = to_host(parameter.weight.value()), &old = before[i++];
    if (!signs.contains(&parameter)) continue;
    for (size_t k = 0; k < after.size(); ++k) {
      const double moved = std::abs(after[k] - old[k]);
      EXPECT_TRUE(moved == 0 || std::abs(moved - 0.5e-2 * parameter.spec.learning_rate_scale) < 1e-6)
          << moved;
    }
  }
  EXPECT_EQ(optimizer.moments().size(), signs.size() + 2 * others.parameters.size());
}

TEST(Optimizer, WhatIsInNoGroupIsNotTrainedAndNothingIsWhenItIsGone) {
  auto model = small_model();
  {
    Optimizer optimizer(*model, adamw_groups(model->parameters(), {.only = {"head.weight"}}), 1);
    for (const Parameter& parameter : model->parameters())
      EXPECT_EQ(parameter.weight.trainable(), parameter.spec.name == "head.weight") << parameter.spec.name;
  }
  for (const Parameter& parameter : model->parameters()) EXPECT_FALSE(parameter.weight.trainable());
}

TEST(Optimizer, AParameterInTwoGroupsIsRefused) {
  auto model = small_model();
  auto groups = adamw_groups(model->parameters(), {});
  groups[1].parameters.push_back(groups[0].parameters.front());
  EXPECT_THROW(Optimizer(*model, groups, 1), Error);
}

TEST(Optimizer, AGradientThatIsNotFiniteChangesNothing) {
  auto model = small_model();
  Optimizer optimizer(*model, adamw_groups(model->parameters(), {}), 1);
  gather(*model);
  const std::vector<double> before = values_of(*model);
  optimizer.gradients().as<float>()[0] = std::nanf("");
  EXPECT_FALSE(std::isfinite(optimizer.step(1e-3)));
  EXPECT_EQ(values_of(*model), before);
  EXPECT_EQ(optimizer.steps(), 0);
  for (double x : to_host(optimizer.gradients())) EXPECT_EQ(x, 0);
}

}  // namespace
}  // namespace aviary
