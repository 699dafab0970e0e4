#include "support/check_operator.h"

namespace aviary {
namespace {

// A width that is not a multiple of any vector size, and one that is a multiple of all.
class Pointwise : public testing::TestWithParam<int64_t> {};

TEST_P(Pointwise, ActivationsAgreeWithTheirDerivatives) {
  const int64_t C = GetParam();
  for (Activation kind : {Activation::none, Activation::tanh, Activation::sigmoid})
    check_operator({.sequences = Sequences::uniform(1, 5),
                    .inputs = {{5, C}},
                    .weights = {{C}},
                    .run = [=](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                      return std::vector{activate(c, kind, x[0], &w[0])};
                    }});
  for (Activation kind : {Activation::relu_squared, Activation::gelu, Activation::mish})
    check_operator({.sequences = Sequences::uniform(1, 5),
                    .inputs = {{5, C}},
                    .weights = {},
                    .run = [=](Context& c, std::vector<Var>& x,
                               std::vector<Weight>&) { return std::vector{activate(c, kind, x[0])}; },
                    .spread = 3});
}

TEST(Activations, GeluAndMishStayFiniteForLargeInputs) {
  Arena arena;
  Tape tape(arena);
  const Sequences sequences = Sequences::uniform(1, 6);
  Context c{arena, sequences, kernels::Precision::f32, &tape};
  const std::vector<double> far{-1000, -30, -9, 9, 30, 1000};
  for (Activation kind : {Activation::gelu, Activation::mish}) {
    Var x = c.result({6, 1}, Dtype::f32);
    from_host(far, x.value);
    Var y = activate(c, kind, x);
    check::expect_close(to_host(y.value), {0, 0, kind == Activation::mish ? -0.00111 : 0, 9, 30, 1000}, 1e-7,
                        "value");
    Tensor dy = arena.tensor({6, 1}, Dtype::f32);
    from_host(std::vector<double>(6, 1.0), dy);
    tape.seed(y, dy);
    tape.backward();
    check::expect_close(to_host(x.gradient->tensor), {0, 0, 0, 1, 1, 1}, 1e-3, "gradient");
  }
}

TEST_P(Pointwise, GateWithResidual) {
  const int64_t C = GetParam();
  check_operator({.sequences = Sequences::uniform(1, 4),
                  .inputs = {{4, C}, {4, C}, {4, C}},
                  .weights = {},
                  .run = [](Context& c, std::vector<Var>& x, std::vector<Weight>&) {
                    return std::vector{sigmoid_gate(c, x[0], x[1], x[2]), sigmoid_gate(c, x[1], x[0])};
                  }});
}

TEST_P(Pointwise, LerpAddAndMul) {
  const int64_t C = GetParam();
  check_operator({.sequences = Sequences::uniform(1, 4),
                  .inputs = {{4, C}, {4, C}, {4, C}},
                  .weights = {},
                  .run = [](Context& c, std::vector<Var>& x, std::vector<Weight>&) {
                    return std::vector{lerp(c, x[0], x[1], x[2]), add(c, x[0], x[2]), mul(c, x[0], x[1])};
                  }});
}

TEST_P(Pointwise, AMatrixForEveryRow) {
  const int64_t C = GetParam();
  check_operator({.sequences = Sequences::uniform(1, 4),
                  .inputs = {{4, C}, {4, 3 * C}, {4, 3}},
                  .weights = {},
                  .run = [](Context& c, std::vector<Var>& x, std::vector<Weight>&) {
                    return std::vector{row_matrix(c, x[0], x[1]), row_matrix(c, x[2], x[1])};
                  }});
}

TEST_P(Pointwise, LayerNorm) {
  const int64_t C = GetParam();
  check_operator({.sequences = Sequences::uniform(1, 19),
                  .inputs = {{19, C}},
                  .weights = {{C}, {C}},
                  .run = [](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                    return std::vector{layer_norm(c, x[0], w[0], w[1])};
                  }});
}

TEST_P(Pointwise, LinearInBothLayoutsWithAndWithoutResidual) {
  const int64_t C = GetParam();
  check_operator({.sequences = Sequences::uniform(1, 7),
                  .inputs = {{7, C}, {7, 12}},
                  .weights = {{12, C}, {C, 12}},
                  .run = [](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                    return std::vector{linear(c, x[0], w[0]), linear(c, x[0], w[1], Layout::in_out),
                                       linear(c, x[0], w[0], Layout::out_in, x[1])};
                  }});
}

TEST_P(Pointwise, LinearWithABias) {
  const int64_t C = GetParam();
  check_operator({.sequences = Sequences::uniform(1, 7),
                  .inputs = {{7, C}, {7, 12}},
                  .weights = {{12, C}, {12}},
                  .run = [](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                    const Affine weights{w[0], w[1]};
                    return std::vector{linear(c, x[0], weights), linear(c, x[0], weights, x[1]),
                                       residual_linear(c, Branch::ffn, x[1], x[0], weights)};
                  }});
}

TEST_P(Pointwise, LowRankMapsWithEveryActivation) {
  const int64_t C = GetParam();
  for (Activation hidden : {Activation::none, Activation::tanh, Activation::sigmoid})
    for (Activation output : {Activation::none, Activation::sigmoid})
      check_operator({.sequences = Sequences::uniform(1, 6),
                      .inputs = {{6, C}},
                      .weights = {{C, 8}, {8, C}, {C}},
                      .run =
                          [=](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                            return std::vector{low_rank(c, x[0], {w[0], w[1], hidden, &w[2], output}),
                                               low_rank(c, x[0], {w[0], w[1], hidden, nullptr, output})};
                          },
                      .spread = 0.5});
}

INSTANTIATE_TEST_SUITE_P(Widths, Pointwise, testing::Values(1, 13, 64));

TEST(TokenShift, MixesWithThePreviousRowInBothConventions) {
  for (int64_t rows : {1, 2, 15, 16, 49})
    for (MixOf of : {MixOf::current, MixOf::previous})
      check_operator({.sequences = ragged(rows),
                      .inputs = {{rows + 4, 13}, {3, 13}},
                      .weights = {{13}, {1, 1, 13}},
                      .run = [=](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                        Var state = x[1];
                        auto [a, b] = token_shift_mix<2>(c, x[0], state, of, {&w[0], &w[1]});
                        return std::vector{a, b, state};
                      }});
}

TEST(Embedding, SumsTheGradientsOfEqualTokens) {
  Arena arena;
  Tape tape(arena);
  const Sequences sequences = Sequences::uniform(1, 3);
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    Weight table("table", {4, 2}, dtype);
    from_host({0, 1, 2, 3, 4, 5, 6, 7}, table.value());
    table.set_trainable(true);
    Context c{arena, sequences, kernels::Precision::f32, &tape};
    const std::vector<int32_t> tokens{2, 0, 2};
    Var y = embedding(c, table, tokens);
    EXPECT_EQ(to_host(y.value), (std::vector<double>{4, 5, 0, 1, 4, 5}));
    Tensor dy = arena.tensor({3, 2}, dtype);
    from_host({1, 2, 3, 4, 5, 6}, dy);
    tape.seed(y, dy);
    tape.backward();
    EXPECT_EQ(to_host(table.gradient()), (std::vector<double>{3, 4, 0, 0, 6, 8, 0, 0}));
    EXPECT_THROW(embedding(c, table, std::vector<int32_t>{4}), Error);
    EXPECT_THROW(embedding(c, table, std::vector<int32_t>{-1}), Error);
  }
}

TEST(Dropout, KeepsTheMeanAndDropsTheSameElementsBackward) {
  Arena arena;
  Tape tape(arena);
  Random random(3);
  const Sequences sequences = Sequences::uniform(1, 100);
  Context c{arena, sequences, kernels::Precision::f32, &tape};
  c.dropout.random = &random;
  Var x = c.result({100, 100}, Dtype::f32);
  from_host(std::vector<double>(10000, 1.0), x.value);
  Var y = dropout(c, x, 0.25);
  const std::vector<double> values = to_host(y.value);
  const auto dropped = std::count(values.begin(), values.end(), 0.0);
  EXPECT_NEAR(static_cast<double>(dropped), 2500, 200);
  EXPECT_NEAR(*std::max_element(values.begin(), values.end()), 1 / 0.75, 1e-6);
  tape.seed(y, x.value);
  tape.backward();
  EXPECT_EQ(to_host(x.gradient->tensor), values);
}

TEST(Dropout, ActsOnTheBranchOrOnTheSumAsRequested) {
  const Sequences sequences = Sequences::uniform(1, 100);
  for (Branch branch : {Branch::att, Branch::ffn})
    for (bool on : {false, true})
      for (bool after : {false, true}) {
        Arena arena;
        Tape tape(arena);
        Random random(3);
        Context c{arena, sequences, kernels::Precision::f32, &tape};
        c.dropout = {.probability = 0.5, .places = {.att = false, .ffn = false}, .random = &random};
        (branch == Branch::att ? c.dropout.places.att : c.dropout.places.ffn) = on;
        (branch == Branch::att ? c.dropout.places.after_att : c.dropout.places.after_ffn) = after;
        Var x = c.result({100, 10}, Dtype::f32), y = c.result_like(x);
        from_host(std::vector<double>(1000, 100.0), x.value);
        from_host(std::vector<double>(1000, 1.0), y.value);
        std::vector<double> seen = to_host(add_branch(c, branch, x, y).value);
        std::sort(seen.begin(), seen.end());
        seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
        std::vector<double> expected = on ? std::vector<double>{100, 102} : std::vector<double>{101};
        for (double& value : expected) value *= after ? 2 : 1;
        if (after) expected.insert(expected.begin(), 0);
        EXPECT_EQ(seen, expected) << "branch " << static_cast<int>(branch) << on << after;
      }
}

TEST(Operators, WrongShapesAreErrors) {
  Arena arena;
  const Sequences sequences = Sequences::uniform(1, 2);
  Context c{arena, sequences};
  Var x = c.result({2, 16}, Dtype::f32), narrow = c.result({2, 8}, Dtype::f32);
  Var state = c.result({1, 2, 8, 8}, Dtype::f32);
  try {
    wkv7(c, 2, {x, x, narrow, x, x, x}, state);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "wkv7: k has shape [2, 8], expected [2, 16]");
  }
  Weight weight("head.weight", {5, 4}, Dtype::f32);
  EXPECT_THROW(linear(c, x, weight), Error);
  EXPECT_THROW(head_loss(c, x, weight, std::vector<int32_t>{1}, {}), Error);
}

}  // namespace
}  // namespace aviary
