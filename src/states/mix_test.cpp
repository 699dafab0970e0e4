#include "states/mix.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

class MixOf : public testing::TestWithParam<std::string> {
 protected:
  StoredSnapshot after(const std::vector<int32_t>& tokens, const std::string& base = "1234") {
    StoredSnapshot stored{.tokens = tokens, .maker = {.base = {.hash = base, .name = "a"}}};
    stored.snapshot.state = runner_.new_state();
    logits(stored.snapshot.state, tokens);
    return stored;
  }
  std::vector<float> logits(State& state, const std::vector<int32_t>& tokens) {
    const Tensor last = runner_.last_logits(tokens, Sequences::uniform(1, std::ssize(tokens)), state);
    return {last.as<float>(), last.as<float>() + last.count()};
  }

  std::unique_ptr<Model> model_ =
      noisy_model({.version = GetParam(), .n_layer = 2, .n_embd = 64, .vocab_size = 64});
  Runner runner_{*model_};
};

std::string refusal_of(const std::vector<MixPart>& parts, bool mean = false) {
  try {
    mixed(parts, mean);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_P(MixOf, OneStateOfWeightOneIsTheSameBits) {
  const StoredSnapshot one = after({1, 2, 3, 4, 5});
  for (const bool mean : {false, true}) {
    StoredSnapshot mix = mixed(std::vector<MixPart>{{&one, 1}}, mean);
    EXPECT_EQ(largest_difference(mix.snapshot.state, one.snapshot.state), 0);
    EXPECT_EQ(mix.tokens, one.tokens);
    State same = one.snapshot.state;
    EXPECT_EQ(logits(mix.snapshot.state, {7}), logits(same, {7}));
  }
}

TEST_P(MixOf, AStateWithItselfIsItsMean) {
  const StoredSnapshot one = after({1, 2, 3, 4, 5});
  StoredSnapshot mix = mixed(std::vector<MixPart>{{&one, 1}, {&one, 3}}, true);
  State same = one.snapshot.state;
  const std::vector<float> of_mix = logits(mix.snapshot.state, {7}), of_one = logits(same, {7});
  for (size_t i = 0; i < of_one.size(); ++i) EXPECT_NEAR(of_mix[i], of_one[i], 1e-4);
}

TEST_P(MixOf, TheSumHoldsBothMemories) {
  const StoredSnapshot a = after({1, 2, 3, 4, 5}), b = after({9, 8, 7});
  const StoredSnapshot mix = mixed(std::vector<MixPart>{{&a, 0.5}, {&b, 0.25}}, false);
  const State& state = mix.snapshot.state;
  const auto value = [](const State& of, size_t part, int64_t i) {
    return static_cast<double>(of[part].as<float>()[i]);
  };
  for (size_t part = 0; part < state.size(); ++part) {
    const std::string& name = state.layout().specs()[part].name;
    if (name.ends_with(".pp")) continue;
    const bool logarithmic = name.ends_with(".aa") || name.ends_with(".bb");
    const bool sums = state.layout().specs()[part].kind == StateKind::recurrence;
    for (int64_t i = 0; i < state[part].count(); ++i) {
      // In RWKV-4 pp follows aa and bb.
      const size_t exponent = part + (name.ends_with(".aa") ? 2 : 1);
      const auto real = [&](const State& of) {
        return value(of, part, i) * (logarithmic ? std::exp(value(of, exponent, i)) : 1);
      };
      const double expected = sums ? 0.5 * real(a.snapshot.state) + 0.25 * real(b.snapshot.state)
                                   : value(b.snapshot.state, part, i);
      EXPECT_NEAR(real(state), expected, 1e-5 * (1 + std::abs(expected))) << name;
    }
  }
  EXPECT_EQ(state.position(), 8);
  EXPECT_EQ(mix.tokens, (std::vector<int32_t>{1, 2, 3, 4, 5, 9, 8, 7}));
}

TEST_P(MixOf, WhatCannotBeMixedIsRefused) {
  const StoredSnapshot a = after({1, 2}), b = after({3}), other = after({3}, "5678");
  EXPECT_NE(refusal_of({}).find("at least one state"), std::string::npos);
  EXPECT_NE(refusal_of({{&a, 1}, {&other, 1}}).find("made with"), std::string::npos);
  EXPECT_NE(refusal_of({{&a, 0}, {&b, 1}}).find("other than 0"), std::string::npos);
  EXPECT_NE(refusal_of({{&a, std::nan("")}}).find("other than 0"), std::string::npos);
  EXPECT_NE(refusal_of({{&a, 1}, {&b, -1}}, true), "");
}

INSTANTIATE_TEST_SUITE_P(Versions, MixOf, testing::Values("rwkv4", "rwkv5.2", "rwkv6", "rwkv7"), test_name);

TEST(Mix, AModelThatKeepsARowForEveryTokenIsRefused) {
  for (const std::string& version : version_names()) {
    const auto model =
        noisy_model({.version = version, .n_layer = 2, .n_embd = 64, .vocab_size = 64, .ctx_len = 48});
    const StoredSnapshot stored{.snapshot = {Runner(*model).new_state()}};
    bool sums = true;
    for (const StateSpec& spec : stored.snapshot.state.layout().specs())
      sums &= spec.kind == StateKind::recurrence || spec.kind == StateKind::shift;
    EXPECT_EQ(refusal_of({{&stored, 1}}).empty(), sums) << version;
  }
}

}  // namespace
}  // namespace aviary
