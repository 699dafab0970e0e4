#include "page/readings.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "eval/evaluate.h"
#include "page/choices.h"
#include "page/decay.h"
#include "support/repository.h"
#include "support/test_versions.h"
#include "text/tokenizer.h"

namespace aviary {
namespace {

class Readings : public testing::TestWithParam<const char*> {
 protected:
  Readings() : model_(noisy_model({.version = GetParam(), .n_layer = 2, .n_embd = 64, .vocab_size = 256})) {
    Random random(3);
    for (int i = 0; i < 200; ++i) tokens_.push_back(static_cast<int32_t>(random.below(256)));
  }

  std::unique_ptr<Model> model_;
  Runner runner_{*model_};
  std::vector<int32_t> tokens_;
};

TEST_P(Readings, SurprisesAddUpToWhatEvaluateSays) {
  State state = runner_.new_state();
  double bits = 0;
  const std::vector<Surprise> all = surprises(runner_, tokens_, state, 3);
  for (const Surprise& one : all) bits += one.bits;
  const Evaluation expected = evaluate(runner_, tokens_, *make_bytes_tokenizer());
  EXPECT_EQ(std::ssize(all), expected.tokens);
  EXPECT_NEAR(bits * std::numbers::ln2, expected.nats, 1e-4 * expected.nats);
  for (const Surprise& one : all) {
    ASSERT_EQ(one.top.size(), 3u);
    EXPECT_EQ(one.rank == 1, -std::log2(one.top[0].probability) == one.bits);
  }
}

TEST_P(Readings, TheMemoryFlowsAsTheStateDoes) {
  const std::vector<MemoryHead> heads = memory_heads(runner_.new_state().layout());
  ASSERT_FALSE(heads.empty());
  const Flow told = flow(runner_, std::span(tokens_).first(10), heads);
  ASSERT_EQ(told.size.size(), 10 * heads.size());
  State state = runner_.new_state();
  runner_.logits(std::span(tokens_).first(10), Sequences::uniform(1, 10), state, {});
  for (size_t i = 0; i < heads.size(); ++i) {
    std::vector<float> numbers(static_cast<size_t>(heads[i].count));
    read_memory(state, heads[i], numbers);
    EXPECT_NEAR(told.size[9 * heads.size() + i],
                length(numbers) / std::sqrt(static_cast<double>(heads[i].count)), 1e-4);
    EXPECT_FLOAT_EQ(told.change[i], told.size[i] > 0 ? 1 : 0) << "the first token makes all there is";
  }
}

TEST_P(Readings, TheSameWordLeavesNoTraceAndAnotherDoes) {
  const std::vector<MemoryHead> heads = memory_heads(runner_.new_state().layout());
  const std::span<const int32_t> all = tokens_;
  const Trace none =
      trace(runner_, {all.first(5), all.subspan(5, 2), all.subspan(5, 2), all.subspan(7, 6)}, heads);
  EXPECT_EQ(std::accumulate(none.difference.begin(), none.difference.end(), 0.0), 0);
  EXPECT_EQ(std::accumulate(none.effect.begin(), none.effect.end(), 0.0), 0);
  const Trace some = trace(runner_, {{}, all.subspan(5, 2), all.subspan(30, 1), all.subspan(7, 6)}, heads);
  ASSERT_EQ(some.effect.size(), 7u);
  ASSERT_EQ(some.difference.size(), 7 * heads.size());
  EXPECT_GT(some.effect[0], 0);
  EXPECT_GT(some.difference[0], 0);
}

TEST_P(Readings, ForgettingComparesWithTheWholeText) {
  const std::vector<Forgetting> curve = forgetting(runner_, tokens_, 4);
  ASSERT_EQ(curve.size(), 7u);  // 1, 2, ..., 64: less than 125, the first place
  EXPECT_EQ(curve.back().tokens, 64);
  for (const Forgetting& one : curve) {
    EXPECT_EQ(one.places, 4);
    EXPECT_GE(one.bits, 0);
    EXPECT_LE(one.agreement, 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, Readings, testing::Values("rwkv4", "rwkv5.2", "rwkv6", "rwkv7"));

TEST(Choices, AreThoseOfTheSampler) {
  Random random(5);
  std::vector<float> logits(300);
  for (float& logit : logits) logit = static_cast<float>(3 * random.normal());
  const SamplerOptions options{.temperature = 0.7, .top_k = 20, .top_p = 0.9, .top_a = 0.1, .min_p = 0.05};
  const std::vector<int32_t> written = {4, 4, 9};
  const Explanation told = explain(logits, options, written, nullptr, 300);
  Sampler sampler(options);
  for (const int32_t token : written) sampler.accept(token);
  const std::span<const Candidate> expected = sampler.candidates(logits);
  EXPECT_EQ(told.kept, std::ssize(expected));
  std::vector<double> drawn(logits.size());
  for (const ExplainedToken& one : told.tokens) drawn[static_cast<size_t>(one.token)] = one.drawn;
  for (const Candidate& one : expected) EXPECT_EQ(drawn[static_cast<size_t>(one.token)], one.probability);
  for (const ExplainedToken& one : told.tokens)
    EXPECT_EQ(one.drawn > 0, one.top_k && one.top_p && one.top_a && one.min_p) << "token " << one.token;
}

TEST(Decay, IsThatOfTheTensors) {
  for (const char* version : {"v1", "v2", "v3", "v4", "v5.0", "v5.2", "v6", "v7"}) {
    const DecayAtlas atlas = decay_atlas(read_tensor_file(
        repository() / "tests/golden" / ("rwkv-" + std::string(version)) / "model.safetensors"));
    ASSERT_FALSE(atlas.layers.empty()) << version;
    for (const LayerDecay& layer : atlas.layers) {
      ASSERT_FALSE(layer.half_lives.empty()) << version;
      for (const float life : layer.half_lives) EXPECT_GE(life, 0) << version;
    }
  }
  const TensorFile file = read_tensor_file(repository() / "tests/golden/rwkv-v7/model.safetensors");
  const DecayAtlas atlas = decay_atlas(file);
  const std::vector<double> w0 = to_doubles(*file.find("blocks.1.att.w0"));
  ASSERT_EQ(atlas.layers[1].half_lives.size(), w0.size());
  for (size_t i = 0; i < w0.size(); ++i) {
    const double decay = std::exp(-std::exp(-0.5) / (1 + std::exp(-w0[i])));
    EXPECT_NEAR(std::pow(decay, static_cast<double>(atlas.layers[1].half_lives[i])), 0.5, 1e-4);
  }
}

}  // namespace
}  // namespace aviary
