#include "train/growth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

std::unique_ptr<Model> growing_model(const std::string& version) {
  auto model = create_model(
      complete({.version = version, .n_layer = 2, .n_embd = 32, .vocab_size = 40, .ctx_len = 32}));
  model->parameters().initialize(3);
  // As if it had been trained: new models have zeros in many places.
  Random random(5);
  for (Parameter& parameter : model->parameters()) {
    if (parameter.spec.constant) continue;
    std::vector<double> values = to_host(parameter.weight.value());
    for (double& value : values) value += 0.1 * random.normal();
    from_host(values, parameter.weight.value());
    parameter.weight.changed();
  }
  return model;
}

class Growing : public testing::TestWithParam<std::string> {};

TEST_P(Growing, InWidthAndInDepthTheFunctionStays) {
  auto model = growing_model(GetParam());
  for (const Growth& growth :
       {Growth{.layers = 2, .width = 64}, Growth{.layers = 5}, Growth{.layers = 3, .width = 96}}) {
    auto larger = grown(*model, growth);
    EXPECT_EQ(larger->config().n_layer, growth.layers);
    EXPECT_EQ(larger->config().n_embd, std::max<int64_t>(growth.width, 32));
    EXPECT_LT(difference_of_logits(*model, *larger), 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, Growing, testing::Values("rwkv4", "rwkv5.2", "rwkv6", "rwkv7"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase_if(name,
                                         [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
                           return name;
                         });

TEST(Growth, NoiseMakesCopiesDifferentAndStacksAreCopies) {
  auto model = growing_model("rwkv7");
  auto noisy = grown(*model, {.width = 64, .noise = 0.01});
  const std::vector<double> values =
      to_host(noisy->parameters().find("blocks.1.ffn.key.weight")->weight.value());
  int64_t different = 0;
  for (int64_t i = 0; i < 32; ++i)
    different += values[static_cast<size_t>(i)] != values[static_cast<size_t>(i + 32)];
  EXPECT_GT(different, 25);
  EXPECT_LT(difference_of_logits(*model, *noisy), 0.2);
  auto stacked = grown(*model, {.layers = 5, .how = Deepening::stack});
  for (const auto& [layer, source] :
       {std::pair(0, 0), std::pair(1, 1), std::pair(2, 0), std::pair(3, 1), std::pair(4, 0)})
    EXPECT_EQ(
        to_host(stacked->parameters().find(fmt::format("blocks.{}.ffn.value.weight", layer))->weight.value()),
        to_host(model->parameters().find(fmt::format("blocks.{}.ffn.value.weight", source))->weight.value()));
}

TEST(Growth, WhatCannotBeGrownIsRefused) {
  auto model = growing_model("rwkv7");
  EXPECT_THROW(grown(*model, {.width = 48}), Error);
  EXPECT_THROW(grown(*model, {.layers = 1}), Error);
  EXPECT_THROW(deepening("sideways"), Error);
}

TEST(Growth, ATransferGivesVectorsOfAnotherSizeTheirValuesInOrder) {
  auto model = growing_model("rwkv7");
  auto other = transferred(*model, 4, 96, 9);
  EXPECT_EQ(other->config().n_embd, 96);
  for (int64_t layer : {0, 3}) {  // the first and the last are those of the model
    auto sorted = [&](Model& of, int64_t at) {
      std::vector<double> values =
          to_host(of.parameters().find(fmt::format("blocks.{}.att.w0", at))->weight.value());
      std::sort(values.begin(), values.end());
      return values;
    };
    const std::vector<double> old = sorted(*model, layer / 3), now = sorted(*other, layer);
    EXPECT_NEAR(now[48], (old[15] + old[16]) / 2, 0.5);
    EXPECT_NEAR(now[5], old[2], 0.8);
  }
  // Matrices are those of a new model.
  auto fresh = create_model(other->config());
  fresh->parameters().initialize(9);
  EXPECT_EQ(to_host(other->parameters().find("blocks.2.att.key.weight")->weight.value()),
            to_host(fresh->parameters().find("blocks.2.att.key.weight")->weight.value()));
}

}  // namespace
}  // namespace aviary
