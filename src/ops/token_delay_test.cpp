#include "support/check_operator.h"

namespace aviary {
namespace {

constexpr int32_t distances[] = {2, 0, 1, 5, 3};  // of five channels
constexpr int64_t depth = 5;

TEST(TokenDelay, GradientsReachTheRowsAndTheStateThatWereUsed) {
  for (int64_t length : {1, 4, 9}) {
    const Sequences sequences = ragged(length);
    check_operator({.sequences = sequences,
                    .inputs = {{sequences.rows(), 5}, {sequences.count(), depth, 5}},
                    .weights = {},
                    .run = [](Context& c, std::vector<Var>& x, std::vector<Weight>&) {
                      Var state = x[1], y = token_delay(c, x[0], state, distances);
                      return std::vector{y, state};
                    }});
  }
}

TEST(TokenDelay, TokenShiftsMixWithTheDelayedRows) {
  const Sequences sequences = ragged(7);
  check_operator(
      {.sequences = sequences,
       .inputs = {{sequences.rows(), 5}, {sequences.count(), depth, 5}},
       .weights = {{5}, {5}},
       .run = [](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
         Var state = x[1];
         auto [a, b] = token_shift_mix<2>(c, x[0], state, {MixOf::previous, distances}, {&w[0], &w[1]});
         return std::vector{a, b, state};
       }});
}

TEST(TokenDelay, ByOneTokenIsTheOrdinaryShift) {
  const Sequences sequences = ragged(7);
  const int64_t N = sequences.rows(), S = sequences.count();
  Random random(3);
  Arena arena;
  Context c{arena, sequences};
  Weight mix("mix", {5}, Dtype::f64);
  from_host(check::random_values(5, 1, random), mix.value());
  Var x = c.result({N, 5}, Dtype::f64), plain = c.result({S, 5}, Dtype::f64);
  from_host(check::random_values(N * 5, 1, random), x.value);
  from_host(check::random_values(S * 5, 1, random), plain.value);
  Var delayed = c.result({S, 1, 5}, Dtype::f64);
  copy(plain.value, delayed.value);
  const Var expected = token_shift_mix<1>(c, x, plain, MixOf::current, {&mix})[0];
  const std::vector<int32_t> ones(5, 1);
  const Var ours = token_shift_mix<1>(c, x, delayed, {MixOf::current, ones}, {&mix})[0];
  EXPECT_EQ(to_host(ours.value), to_host(expected.value));
  EXPECT_EQ(to_host(delayed.value), to_host(plain.value));
}

}  // namespace
}  // namespace aviary
