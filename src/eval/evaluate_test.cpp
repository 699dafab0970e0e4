#include "eval/evaluate.h"

#include <gtest/gtest.h>

#include <numbers>
#include <numeric>

#include "base/error.h"
#include "eval/generation_time.h"
#include "models/registry.h"

namespace aviary {
namespace {

class Evaluate : public testing::TestWithParam<const char*> {
 protected:
  Evaluate()
      : model_(create_model(
            {.version = GetParam(), .recipe = "", .n_layer = 2, .n_embd = 32, .vocab_size = 256})) {
    Random random(1);
    for (Parameter& parameter : model_->parameters()) {
      std::vector<double> values(static_cast<size_t>(parameter.weight.value().count()));
      for (double& value : values) value = 0.3 * random.normal();
      from_host(values, parameter.weight.value());
    }
    model_->parameters().changed();
    for (int i = 0; i < 300; ++i) tokens_.push_back(static_cast<int32_t>(random.below(256)));
  }

  // The loss of each token of a window, for one window at a time.
  std::vector<double> losses(int64_t begin, int64_t length) {
    std::vector<double> result(static_cast<size_t>(length));
    const auto text = std::span<const int32_t>(tokens_);
    State state = runner_.new_state();
    runner_.loss(text.subspan(static_cast<size_t>(begin), result.size()),
                 text.subspan(static_cast<size_t>(begin) + 1, result.size()), Sequences::uniform(1, length),
                 state, result);
    return result;
  }

  std::unique_ptr<Model> model_;
  Runner runner_{*model_};
  TokenizerPtr tokenizer_ = make_bytes_tokenizer();
  std::vector<int32_t> tokens_;
};

TEST_P(Evaluate, WindowsStartWithAFreshStateAndCoverAllTokens) {
  const Evaluation result = evaluate(runner_, tokens_, *tokenizer_, {.window = 64});
  EXPECT_EQ(result.tokens, 299);
  EXPECT_EQ(result.bytes, 299);
  double nats = 0;
  for (int64_t begin = 0; begin < 299; begin += 64)
    for (double loss : losses(begin, std::min<int64_t>(64, 299 - begin))) nats += loss;
  EXPECT_NEAR(result.nats, nats, 1e-6 * nats);
  EXPECT_NEAR(result.bits_per_byte(), nats / std::numbers::ln2 / 299, 1e-6);
  // A window as long as the text is one pass.
  EXPECT_NEAR(evaluate(runner_, tokens_, *tokenizer_, {.window = 1000}).nats,
              evaluate(runner_, tokens_, *tokenizer_).nats, 1e-4 * nats);
  const auto stop = [](int64_t) { return false; };
  EXPECT_LT(evaluate(runner_, tokens_, *tokenizer_, {.window = 2, .progress = stop}).tokens, 2100);
}

// Characters of two bytes, and an end of text without any.
class Pairs final : public Tokenizer {
 public:
  using Tokenizer::encode;
  void encode(std::string_view, std::vector<int32_t>&) const override {}
  std::string_view bytes_of(int32_t token) const override { return token == 0 ? "" : "ab"; }
  int32_t vocab_size() const override { return 256; }
  std::string kind() const override { return "pairs"; }
  std::string serialize() const override { return ""; }
  std::optional<int32_t> end_of_text() const override { return 0; }
};

TEST_P(Evaluate, BitsAndBytesAreThoseOfThePredictedTokens) {
  const Pairs tokenizer;
  std::fill(tokens_.begin(), tokens_.end(), 7);
  for (const int64_t window : {0, 64}) {
    EXPECT_EQ(evaluate(runner_, tokens_, tokenizer, {.window = window}).bytes, 2 * 299);
    const std::vector<int32_t> two = {7, 9}, begun = {0, 7, 9};
    const Evaluation one = evaluate(runner_, two, tokenizer, {.window = window});
    EXPECT_EQ(one.tokens, 1);
    EXPECT_EQ(one.bytes, 2);
    EXPECT_NEAR(one.bits_per_byte(), one.loss() / std::numbers::ln2 / 2, 1e-12);
    EXPECT_EQ(evaluate(runner_, begun, tokenizer, {.window = window}).bytes, 4);  // all of the text
  }
}

TEST_P(Evaluate, TheProgressEndsAtThePredictedTokens) {
  int64_t done = 0;
  const auto note = [&](int64_t tokens) { return done = tokens, true; };
  for (const int64_t window : {0, 64}) {
    evaluate(runner_, tokens_, *tokenizer_, {.window = window, .progress = note});
    EXPECT_EQ(done, 299);
  }
}

TEST_P(Evaluate, ATextIsReadFromAGivenState) {
  const auto text = std::span<const int32_t>(tokens_);
  State start = runner_.new_state();
  runner_.logits(text.first(100), Sequences::uniform(1, 100), start, {});
  const auto rest = text.subspan(100);
  const double continued = evaluate(runner_, rest, *tokenizer_, {.start = &start}).nats;
  EXPECT_NE(continued, evaluate(runner_, rest, *tokenizer_).nats);
  EXPECT_NEAR(continued, evaluate(runner_, rest, *tokenizer_, {.window = 1000, .start = &start}).nats,
              1e-4 * continued);
}

TEST_P(Evaluate, LossByPositionIsTheMeanOverWindows) {
  const PositionLoss result = loss_by_position(runner_, tokens_, 50, 4);
  EXPECT_EQ(result.windows, 4);
  ASSERT_EQ(result.nats.size(), 50u);
  std::vector<double> expected(50);
  for (int64_t begin : {0, 83, 166, 249})
    for (size_t t = 0; t < 50; ++t) expected[t] += losses(begin, 50)[t] / 4;
  for (size_t t = 0; t < 50; ++t) EXPECT_NEAR(result.nats[t], expected[t], 1e-5) << t;
  EXPECT_NEAR(result.mean(10, 20), std::accumulate(&expected[10], &expected[20], 0.0) / 10, 1e-5);
  EXPECT_EQ(loss_by_position(runner_, tokens_, 299, 10).windows, 1);  // more do not fit
  EXPECT_EQ(loss_by_position(runner_, tokens_, 298, 10).windows, 2);
  EXPECT_THROW(loss_by_position(runner_, tokens_, 300, 10), Error);
}

TEST_P(Evaluate, LossByPositionBeginsWithAGivenState) {
  State start = runner_.new_state();
  runner_.logits(std::span(tokens_).first(100), Sequences::uniform(1, 100), start, {});
  const auto rest = std::span<const int32_t>(tokens_).subspan(100);
  const PositionLoss result = loss_by_position(runner_, rest, std::ssize(rest) - 1, 1, {}, &start);
  const double whole = evaluate(runner_, rest, *tokenizer_, {.start = &start}).loss();
  EXPECT_NEAR(result.mean(0, std::ssize(rest) - 1), whole, 1e-4 * whole);
}

TEST_P(Evaluate, TimesTokensAfterAContextLongerThanTheText) {
  const auto time = time_generation(runner_, tokens_, 700);
  ASSERT_TRUE(time);
  EXPECT_EQ(time->context, 700);
  EXPECT_GT(time->seconds, 0);
  EXPECT_LT(time->seconds, 0.5);
  EXPECT_FALSE(time_generation(runner_, tokens_, 700, 64, [] { return false; }));
}

INSTANTIATE_TEST_SUITE_P(Versions, Evaluate, testing::Values("rwkv4", "rwkv7"));

}  // namespace
}  // namespace aviary
