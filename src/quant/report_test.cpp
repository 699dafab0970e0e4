// Models and their quantized copies, on one text.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/random.h"
#include "eval/evaluate.h"
#include "models/registry.h"
#include "quant/report.h"

namespace aviary {
namespace {

std::vector<int32_t> random_tokens(size_t count, int64_t vocabulary) {
  Random random(3);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(vocabulary));
  return tokens;
}

// A small model whose every number is random.
std::unique_ptr<Model> random_model() {
  auto model = create_model(
      {.version = "rwkv7", .recipe = "", .n_layer = 2, .n_embd = 64, .vocab_size = 97, .head_size = 16});
  model->parameters().initialize(1);
  Random random(2);
  for (Parameter& parameter : model->parameters()) {
    std::vector<double> values = to_host(parameter.weight.value());
    for (double& value : values) value += 0.2 * random.normal();
    from_host(values, parameter.weight.value());
  }
  model->parameters().changed();
  return model;
}

// The tensors of a model, as if read from a file.
TensorFile file_of(const Model& model) {
  TensorTable table;
  for (const Parameter& parameter : model.parameters()) {
    const Tensor& value = parameter.weight.value();
    TensorEntry entry{parameter.spec.name, Dtype::f32, {}, {}};
    for (int i = 0; i < value.shape().rank(); ++i) entry.shape.push_back(value.shape()[i]);
    entry.data = {static_cast<const std::byte*>(value.data()), static_cast<size_t>(value.bytes())};
    table.tensors.push_back(std::move(entry));
  }
  return {std::vector<MappedFile>(), std::move(table)};
}

// A model and a second one that becomes its quantized copy.
class Compare : public testing::Test {
 protected:
  ModelComparison compare_as(Dtype type) {
    plan = plan_types(file, type);
    apply_plan(plan, *copy);
    return compare_quantized(before, after, tokens);
  }
  float* numbers_of(const std::string& name) {
    return copy->parameters().find(name)->weight.value().as<float>();
  }

  const std::unique_ptr<Model> original = random_model(), copy = random_model();
  const TensorFile file = file_of(*original);
  Runner before{*original}, after{*copy};
  std::vector<int32_t> tokens = random_tokens(700, original->config().vocab_size);
  QuantizationPlan plan;
};

TEST_F(Compare, AModelDoesNotDifferFromItself) {
  const ModelComparison same = compare_as(Dtype::f32);
  EXPECT_EQ(same.tokens, 699);
  EXPECT_EQ(same.mean_divergence, 0);
  EXPECT_EQ(same.largest_divergence, 0);
  EXPECT_EQ(same.same_choice, 1);
  EXPECT_EQ(same.original_loss, same.quantized_loss);
  EXPECT_TRUE(same.finite);
  const TokenizerPtr bytes = make_tokenizer("bytes", "");
  const Evaluation evaluation = evaluate(before, tokens, *bytes);
  EXPECT_NEAR(same.original_perplexity(), evaluation.perplexity(), 1e-5 * evaluation.perplexity());
}

TEST_F(Compare, MoreBitsAreCloserToTheOriginal) {
  double last = std::numeric_limits<double>::infinity();
  for (const Dtype type : {Dtype::q4_0, Dtype::q4_1, Dtype::q5_0, Dtype::q5_1, Dtype::q8_0, Dtype::f16}) {
    const ModelComparison comparison = compare_as(type);
    EXPECT_LT(comparison.mean_divergence, last) << name_of(type);
    EXPECT_GT(comparison.mean_divergence, 0) << name_of(type);
    EXPECT_LE(comparison.mean_divergence, comparison.largest_divergence) << name_of(type);
    EXPECT_EQ(why_broken(plan, &comparison), "") << name_of(type);
    last = comparison.mean_divergence;
  }
  EXPECT_LT(last, 1e-5);
}

TEST_F(Compare, TheDivergenceFollowsItsDefinition) {
  // Only the head differs, and by a constant that is added to the logits of token 5.
  ModelComparison same = compare_as(Dtype::f32);
  const int64_t width = original->config().n_embd;
  for (int64_t i = 0; i < width; ++i) numbers_of("head.weight")[5 * width + i] = 0;
  copy->parameters().changed();
  const std::vector<int32_t> two(tokens.begin(), tokens.begin() + 2);
  const ModelComparison comparison = compare_quantized(before, after, two);
  State state = before.new_state();
  const Tensor logits = before.all_logits(std::span(two).first(1), Sequences::uniform(1, 1), state);
  std::vector<double> p = to_host(logits), q = p;
  q[5] = 0;
  double p_sum = 0, q_sum = 0, divergence = 0;
  for (size_t i = 0; i < p.size(); ++i) p_sum += std::exp(p[i]), q_sum += std::exp(q[i]);
  for (size_t i = 0; i < p.size(); ++i)
    divergence += std::exp(p[i]) / p_sum * (p[i] - std::log(p_sum) - q[i] + std::log(q_sum));
  EXPECT_NEAR(comparison.mean_divergence, divergence, 1e-6 * std::max(1.0, divergence));
  EXPECT_GT(comparison.mean_divergence, same.mean_divergence);
}

TEST_F(Compare, TheModelHasTheNumbersOfThePlannedFile) {
  compare_as(Dtype::q8_0);
  for (const PlannedTensor& tensor : plan.tensors) {
    std::vector<std::byte> bytes;
    write_stored(tensor.stored, [&](auto part) { bytes.insert(bytes.end(), part.begin(), part.end()); });
    const TensorEntry& source = tensor.stored.source;
    const std::vector<double> stored = to_doubles({source.name, tensor.stored.type, source.shape, bytes});
    EXPECT_EQ(to_host(copy->parameters().find(source.name)->weight.value()), stored) << source.name;
  }
}

TEST_F(Compare, AModelWithALargeDivergenceIsReported) {
  compare_as(Dtype::f32);
  for (int64_t i = 0; i < 97 * 64; ++i) numbers_of("head.weight")[i] *= -20;
  copy->parameters().changed();
  const ModelComparison comparison = compare_quantized(before, after, tokens);
  EXPECT_GT(comparison.mean_divergence, largest_useful_divergence);
  EXPECT_NE(why_broken(plan, &comparison).find("nats per token away"), std::string::npos);
}

TEST_F(Compare, LogitsThatAreNotFiniteAreReported) {
  compare_as(Dtype::f32);
  numbers_of("head.weight")[0] = std::numeric_limits<float>::quiet_NaN();
  copy->parameters().changed();
  const ModelComparison comparison = compare_quantized(before, after, tokens);
  EXPECT_FALSE(comparison.finite);
  EXPECT_EQ(why_broken(plan, &comparison), "the logits of the quantized model are not finite");
  EXPECT_EQ(nlohmann::json::parse(to_json(plan, &comparison))["comparison"]["finite"], false);
  EXPECT_THROW(compare_quantized(after, before, tokens), Error);
}

TEST_F(Compare, ModelsThatCannotBeComparedAreRejected) {
  EXPECT_THROW(compare_quantized(before, after, std::span(tokens).first(1)), Error);
  tokens[3] = 97;
  EXPECT_THROW(compare_quantized(before, after, tokens), Error);
}

TEST_F(Compare, ProgressCanStopIt) {
  EXPECT_EQ(compare_quantized(before, after, tokens, [](int64_t done) { return done < 300; }).tokens, 512);
}

TEST_F(Compare, TheReportListsTypesErrorsAndReasons) {
  const ModelComparison comparison = compare_as(Dtype::q4_k);
  const auto json = nlohmann::json::parse(to_json(plan, &comparison));
  EXPECT_EQ(json["type"], "q4_k");
  EXPECT_EQ(json["tensors"].size(), plan.tensors.size());
  const auto& key = json["tensors"]["blocks.0.att.key.weight"];
  EXPECT_EQ(key["type"], "q4_0");
  EXPECT_NEAR(key["rms"].get<double>(), 0.08, 0.01);
  EXPECT_GT(key["largest"].get<double>(), 0);
  EXPECT_EQ(key["reason"], "rows of 64 numbers are not a multiple of the block size");
  EXPECT_EQ(json["tensors"]["blocks.0.ln1.weight"], (nlohmann::json{{"type", "f32"}}));
  EXPECT_EQ(json["comparison"]["tokens"], 699);
  EXPECT_NEAR(json["comparison"]["mean_divergence"].get<double>(), comparison.mean_divergence,
              1e-3 * comparison.mean_divergence);
  EXPECT_FALSE(nlohmann::json::parse(to_json(plan)).contains("comparison"));
}

}  // namespace
}  // namespace aviary
