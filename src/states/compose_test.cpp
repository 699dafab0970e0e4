#include "states/compose.h"

#include <cmath>

#include "base/error.h"
#include "states/mix.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

class CompositionOf : public testing::TestWithParam<std::string> {
 protected:
  StoredSnapshot after(const std::vector<int32_t>& tokens, const std::string& base = "1234") {
    StoredSnapshot stored{.tokens = tokens, .maker = {.base = {.hash = base, .name = "a"}}};
    stored.snapshot.state = runner_.new_state();
    if (!tokens.empty()) read(tokens, stored.snapshot.state);
    return stored;
  }
  void read(const std::vector<int32_t>& tokens, State& state) {
    runner_.last_logits(tokens, Sequences::uniform(1, std::ssize(tokens)), state);
  }
  StoredSnapshot of(const StoredSnapshot& a, const StoredSnapshot& b) {
    return composed(runner_, runner_.new_state(), a, b);
  }
  static std::vector<int32_t> text(int32_t first, int64_t length) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < length; ++i) tokens.push_back(static_cast<int32_t>((first + 7 * i * i) % 64));
    return tokens;
  }
  // The number that a part stands for: RWKV-4 stores aa e^pp and bb e^pp.
  static double value(const State& state, size_t part, int64_t i) {
    const std::string& name = state.layout().specs()[part].name;
    const double number = static_cast<double>(state[part].as<float>()[i]);
    if (!name.ends_with(".aa") && !name.ends_with(".bb")) return number;
    const size_t exponent = part + (name.ends_with(".aa") ? 2 : 1);
    return number * std::exp(static_cast<double>(state[exponent].as<float>()[i]));
  }

  std::unique_ptr<Model> model_ =
      noisy_model({.version = GetParam(), .n_layer = 2, .n_embd = 64, .vocab_size = 64});
  Runner runner_{*model_};
};

TEST_P(CompositionOf, NothingBeforeATextIsThatText) {
  const StoredSnapshot nothing = after({}), b = after(text(3, 300));
  const StoredSnapshot result = of(nothing, b);
  EXPECT_EQ(largest_difference(result.snapshot.state, b.snapshot.state), 0);
  EXPECT_EQ(result.tokens, b.tokens);
}

// The decays and keys of b are those of b alone, so twice the memory before it is twice what it leaves.
TEST_P(CompositionOf, WhatIsLeftOfTheFirstTextIsLinearInItsMemory) {
  const StoredSnapshot a = after(text(1, 40)), b = after(text(5, 9));
  const std::vector<MixPart> twice_a = {{&a, 2}};
  const State once = of(a, b).snapshot.state, twice = of(mixed(twice_a, false), b).snapshot.state;
  for (size_t part = 0; part < once.size(); ++part) {
    const StateSpec& spec = once.layout().specs()[part];
    if (spec.kind != StateKind::recurrence || spec.name.ends_with(".pp")) continue;
    for (int64_t i = 0; i < once[part].count(); ++i) {
      const double own = value(b.snapshot.state, part, i), left = value(once, part, i) - own;
      EXPECT_NEAR(value(twice, part, i) - own, 2 * left, 1e-3 * (1 + std::abs(own) + std::abs(left)))
          << spec.name;
    }
  }
}

// The first block sees only tokens: but for the token shift of the first one, it is as if both were read. A
// token that ends a and begins b with the same row before makes even that the same.
TEST_P(CompositionOf, TheFirstBlockIsThatOfBothTextsBeyondTheirSeam) {
  const StoredSnapshot a = after(text(1, 40)), b = after(text(5, 200));
  const StoredSnapshot result = of(a, b);
  State both = a.snapshot.state;
  read(b.tokens, both);
  double composed_error = 0, sum_error = 0;
  const std::vector<MixPart> parts = {{&a}, {&b}};
  const State sum = mixed(parts, false).snapshot.state;
  for (size_t part = 0; part < both.size(); ++part) {
    const StateSpec& spec = both.layout().specs()[part];
    if (spec.kind != StateKind::recurrence || spec.name.ends_with(".pp")) continue;
    if (spec.name.find("blocks.0.") == std::string::npos) continue;
    for (int64_t i = 0; i < both[part].count(); ++i) {
      composed_error += std::pow(value(result.snapshot.state, part, i) - value(both, part, i), 2);
      sum_error += std::pow(value(sum, part, i) - value(both, part, i), 2);
    }
  }
  EXPECT_LT(composed_error, 0.1 * sum_error);
  EXPECT_EQ(result.snapshot.state.position(), 240);
  EXPECT_EQ(std::ssize(result.tokens), 240);
}

TEST_P(CompositionOf, AMixOrAForeignStateIsRefused) {
  const StoredSnapshot a = after(text(1, 40)), b = after(text(5, 50)), foreign = after(text(5, 50), "5678");
  const std::vector<MixPart> parts = {{&a, 0.5}, {&b, 0.5}};
  EXPECT_THROW(of(a, mixed(parts, false)), Error);
  EXPECT_THROW(of(a, foreign), Error);
  StoredSnapshot other_tokens = b;
  other_tokens.tokens.front() ^= 1;
  other_tokens.tokens.back() ^= 1;
  EXPECT_THROW(of(a, other_tokens), Error);
  of(mixed(parts, true), b);
}

INSTANTIATE_TEST_SUITE_P(Versions, CompositionOf, testing::Values("rwkv4", "rwkv5.2", "rwkv6", "rwkv7"),
                         test_name);

}  // namespace
}  // namespace aviary
