#include "models/cost.h"
#include "models/registry.h"

#include <gtest/gtest.h>

namespace aviary {
namespace {

TokenCost cost_of(ModelConfig config) {
  config.n_layer = 2;
  config.n_embd = 32;
  config.vocab_size = 100;
  return token_cost(*create_model(config));
}

TEST(TokenCost, IsTheSameForEveryTokenOfAVersionWithAFiniteState) {
  const TokenCost cost = cost_of({.version = "rwkv4"});
  // Two blocks of four C x C and three in the channel mix (C x C, 4 C x C twice), and the output matrix.
  EXPECT_EQ(cost.multiplications, 2 * (5 + 8) * 32 * 32 + 100 * 32);
  EXPECT_EQ(cost.state_bytes, 2 * 5 * 32 * 4);
  EXPECT_EQ(cost.state_growth, 0);
  EXPECT_EQ(describe(cost), "a token costs 29,824 multiplications at any position; the state has 1.25 KiB");
}

TEST(TokenCost, GrowsWithTheTokensLookedBackAt) {
  const TokenCost cost = cost_of({.version = "rwkv4", .options = {{"head_qk", 8}}});
  EXPECT_EQ(cost.per_earlier_token, 8 + 1);
  EXPECT_EQ(cost.state_growth, 4 * (8 + 1));
  EXPECT_NE(describe(cost).find("and 9 for every token before it; the state grows by 36 B a token"),
            std::string::npos)
      << describe(cost);
}

TEST(TokenCost, CountsStacksOfMatricesAndNoVectors) {
  // Per block: r, k, v, gate, output; the channel mix (its keys 96 wide); the low-rank projections of the
  // decay and of five mixtures, whose second matrices are a stack [5, 32, 32]. Not the bonus [4, 8].
  const int64_t block = (5 + 1) * 32 * 32 + 2 * 96 * 32 + 2 * 64 * 32 + 2 * 5 * 32 * 32;
  EXPECT_EQ(cost_of({.version = "rwkv6"}).multiplications, 2 * block + 100 * 32);
}

TEST(TokenCost, Float32MatricesAreReadInThePrecisionOfTheirProducts) {
  const std::unique_ptr<Model> model =
      create_model({.version = "rwkv4", .n_layer = 2, .n_embd = 32, .vocab_size = 100});
  const TokenCost f32 = token_cost(*model), bf16 = token_cost(*model, kernels::Precision::bf16);
  EXPECT_EQ(f32.weight_bytes - bf16.weight_bytes, 2 * f32.multiplications);
}

}  // namespace
}  // namespace aviary
