#include "train/not_finite.h"

#include <gtest/gtest.h>

#include <cmath>

#include "models/registry.h"

namespace aviary {
namespace {

std::unique_ptr<Model> broken_model() {
  auto model = create_model(
      complete({.version = "rwkv7", .n_layer = 3, .n_embd = 32, .vocab_size = 256, .head_size = 16}));
  model->parameters().initialize(3);
  return model;
}

std::optional<std::string> found_in(Model& model) {
  Batch batch;
  for (int64_t length : {3, 4}) batch.sequences.append(length);
  batch.fresh.assign(2, true);
  for (char c : std::string("abcdefg")) batch.tokens.push_back(c);
  batch.targets = batch.tokens;
  Runner runner(model);
  std::vector<State> states = runner.new_states(2);
  return first_not_finite(runner, batch, states, *make_bytes_tokenizer());
}

void set(Model& model, const char* name, int64_t index, float value) {
  Weight& weight = model.parameters().find(name)->weight;
  weight.value().as<float>()[index] = value;
  weight.changed();
}

TEST(NotFinite, NothingIsFoundWhereAllIsFinite) {
  auto model = broken_model();
  EXPECT_EQ(found_in(*model), std::nullopt);
}

TEST(NotFinite, AWeightIsNamedWithItsNumber) {
  auto model = broken_model();
  set(*model, "blocks.1.att.key.weight", 33, std::nanf(""));
  const std::string found = found_in(*model).value_or("");
  EXPECT_NE(found.find("blocks.1.att.key.weight has nan as number 33"), std::string::npos) << found;
}

TEST(NotFinite, TheFirstBlockIsNamedWithItsToken) {
  auto model = broken_model();
  // The row of "e", the second token of the second sequence, is too large for the sums of the norms.
  for (int64_t i = 0; i < 32; ++i) set(*model, "emb.weight", 'e' * 32 + i, i % 2 ? 3e38f : -3e38f);
  const std::string found = found_in(*model).value_or("");
  EXPECT_NE(found.find("at token 1 of sequence 1 (\"e\")"), std::string::npos) << found;
  EXPECT_NE(found.find("the embedding"), std::string::npos) << found;
  // What a block makes of finite rows.
  model = broken_model();
  Weight& key = model->parameters().find("blocks.1.ffn.key.weight")->weight;
  for (int64_t i = 0; i < key.shape().count(); ++i) key.value().as<float>()[i] = 1e30f;
  for (int64_t i = 0; i < 32 * 128; ++i) set(*model, "blocks.1.ffn.value.weight", i, 1);
  key.changed();
  const std::string in_block = found_in(*model).value_or("");
  EXPECT_NE(in_block.find("the output of block 1 has"), std::string::npos) << in_block;
}

}  // namespace
}  // namespace aviary
