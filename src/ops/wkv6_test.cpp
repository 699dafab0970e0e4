// The operators that RWKV-5 and 6 add.
#include "support/check_operator.h"

namespace aviary {
namespace {

const int64_t wkv6_chunk = kernels::wkv_chunk;
const int64_t wkv6_lengths[] = {1, wkv6_chunk - 1, wkv6_chunk, 3 * wkv6_chunk + 1};

// The decay as a row per token, or as one weight for all tokens.
OperatorCase wkv6_case(const Sequences& sequences, int64_t head_size, int64_t heads, bool per_token) {
  const int64_t N = sequences.rows(), C = heads * head_size;
  const Shape rows{N, C};
  return {.sequences = sequences,
          .inputs = {rows, rows, rows, rows, {sequences.count(), heads, head_size, head_size}},
          .weights = {{heads, head_size}, {heads, head_size}},
          .run =
              [=](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                Var state = x[4];
                const Var decay = per_token ? x[3] : weight_row(c, w[1], C);
                Var y = wkv6(c, heads, {x[0], x[1], x[2], decay, weight_row(c, w[0], C)}, state);
                return std::vector{y, state};
              },
          .float_tolerance = 5e-5};
}

TEST(Wkv6, AgreesWithItsReferenceAtEveryLengthAndHeadSize) {
  for (bool per_token : {true, false})
    for (int64_t head_size : {8, 16, 64})
      for (int64_t length : wkv6_lengths) {
        SCOPED_TRACE(testing::Message() << "head size " << head_size << ", length " << length);
        check_operator(wkv6_case(ragged(length), head_size, head_size == 64 ? 1 : 2, per_token));
      }
}

TEST(Wkv6, AgreesWithItsReferenceForOddHeadSizes) {
  for (int64_t head_size : {24, 40, 80}) check_operator(wkv6_case(ragged(5), head_size, 1, true));
}

// Decays and bonuses with one number per head, as in RWKV-5.0.
TEST(Wkv6, AcceptsOneNumberPerHead) {
  check_operator({.sequences = ragged(5),
                  .inputs = {{9, 24}, {9, 24}, {9, 24}, {3, 3, 8, 8}},
                  .weights = {{3}, {3}},
                  .run = [](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                    Var state = x[3];
                    Var y =
                        wkv6(c, 3, {x[0], x[1], x[2], weight_row(c, w[0], 24), weight_row(c, w[1], 24, true)},
                             state);
                    return std::vector{y, state};
                  }});
}

// exp(-exp(w)) is 0 from w = 5 on; exp(w) alone overflows at 89.
TEST(Wkv6, SurvivesEveryDecay) {
  const Sequences sequences = Sequences::uniform(1, 3);
  for (double w : {-200.0, -90.0, 5.0, 21.0, 90.0, 1e30}) {
    Arena arena;
    Tape tape(arena);
    Context c{arena, sequences, kernels::Precision::f32, &tape};
    auto filled = [&](Shape shape, double value) {
      Var x = c.result(shape, Dtype::f32);
      from_host(std::vector<double>(static_cast<size_t>(x.value.count()), value), x.value);
      return x;
    };
    const Var one = filled({3, 8}, 1), decay = filled({3, 8}, w), bonus = filled({1, 8}, 0);
    Var state = filled({1, 1, 8, 8}, 1);
    const Var y = wkv6(c, 1, {one, one, one, decay, bonus}, state);
    const double kept = w < 0 ? 1 : 0;
    EXPECT_EQ(to_host(state.value), std::vector<double>(64, 3 * kept + 1)) << w;
    tape.seed(y, one.value);
    tape.seed(state, state.value);
    tape.backward();
    for (double slope : to_host(decay.gradient->tensor)) EXPECT_NEAR(slope, 0, 1e-30) << w;
  }
}

TEST(StartState, ReplacesTheStateOfSequencesThatHaveReadNothing) {
  static const std::vector<int64_t> positions{0, 7, 0};
  check_operator({.sequences = ragged(2),
                  .inputs = {{3, 2, 8, 8}},
                  .weights = {{2, 8, 8}},
                  .run = [](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                    c.positions = positions;
                    Var state = x[0];
                    start_state(c, w[0], state);
                    const std::vector<double> before = to_host(x[0].value), after = to_host(state.value),
                                              weight = to_host(w[0].value());
                    EXPECT_TRUE(std::equal(after.begin() + 128, after.begin() + 256, before.begin() + 128));
                    EXPECT_EQ(after[256 + 64 + 8 * 3 + 5], weight[64 + 8 * 5 + 3]);  // head 1, key 3, value 5
                    return std::vector{state};
                  }});
}

TEST(StartState, DoesNotChangeStatesThatHaveReadTokens) {
  const std::vector<int64_t> positions{1, 7};
  const Sequences sequences = Sequences::uniform(2, 1);
  Arena arena;
  Context c{.arena = arena, .sequences = sequences, .positions = positions};
  Weight weight("time_state", {1, 8, 8}, Dtype::f32);
  const Var before = c.result({2, 1, 8, 8}, Dtype::f32);
  Var state = before;
  start_state(c, weight, state);
  EXPECT_EQ(state.value.data(), before.value.data());
}

TEST(GroupNorm, AgreesWithItsReferenceWithEveryGate) {
  for (Gate gate : {Gate::none, Gate::plain, Gate::silu})
    for (int64_t head_size : {8, 16, 64}) {
      const int64_t C = 2 * head_size;
      check_operator({.sequences = Sequences::uniform(1, 19),
                      .inputs = {{19, C}, {19, C}},
                      .weights = {{C}, {C}},
                      .run =
                          [=](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                            return std::vector{group_norm(c, 2, {x[0], w[0], w[1], gate, x[1]}, 64e-5)};
                          },
                      .float_tolerance = 1e-4});
    }
}

TEST(TokenShift, AcceptsASeparateMixtureForEveryRow) {
  for (int64_t rows : {1, 2, 16, 49})
    for (MixOf of : {MixOf::current, MixOf::previous})
      check_operator(
          {.sequences = ragged(rows),
           .inputs = {{rows + 4, 13}, {3, 13}, {rows + 4, 13}, {rows + 4, 13}},
           .weights = {{13}, {13}},
           .run = [=](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
             Var state = x[1];
             auto [a, b] = token_shift_mix<2>(c, x[0], state, of, {&w[0], &w[1]}, std::array{x[2], x[3]});
             return std::vector{a, b, state};
           }});
}

TEST(LinearStack, MultipliesEveryMatrixWithItsColumns) {
  for (int64_t rows : {1, 7})
    check_operator({.sequences = Sequences::uniform(1, rows),
                    .inputs = {{rows, 3 * 5}},
                    .weights = {{3, 5, 12}},
                    .run = [](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                      std::vector<Var> out(3);
                      linear_stack(c, x[0], w[0], out);
                      return out;
                    }});
}

TEST(LinearStack, RejectsAWrongNumberOfMatrices) {
  Arena arena;
  const Sequences sequences = Sequences::uniform(1, 2);
  Context c{arena, sequences};
  Var x = c.result({2, 6}, Dtype::f32);
  Weight stack("w2", {3, 2, 4}, Dtype::f32), matrix("w", {6, 4}, Dtype::f32);
  std::vector<Var> two(2), three(3);
  EXPECT_THROW(linear_stack(c, x, stack, two), Error);
  EXPECT_THROW(linear_stack(c, x, matrix, three), Error);
  linear_stack(c, x, stack, three);
  EXPECT_EQ(three[2].shape(), (Shape{2, 4}));
}

}  // namespace
}  // namespace aviary
