#include "support/check_operator.h"

namespace aviary {
namespace {

// Numbers of rows around the chunk length of the backward pass.
const int64_t chunk = kernels::wkv_chunk;
const int64_t lengths[] = {1, chunk - 1, chunk, 3 * chunk + 1};

OperatorCase wkv7_case(const Sequences& sequences, int64_t head_size, int64_t heads) {
  const int64_t N = sequences.rows(), C = heads * head_size;
  const Shape rows{N, C};
  return {.sequences = sequences,
          .inputs = {rows, rows, rows, rows, rows, rows, {sequences.count(), heads, head_size, head_size}},
          .weights = {},
          .run =
              [=](Context& c, std::vector<Var>& x, std::vector<Weight>&) {
                Var state = x[6];
                Var y = wkv7(c, heads, {x[0], x[1], x[2], x[3], x[4], x[5]}, state);
                return std::vector{y, state};
              },
          .spread = 0.5 / std::sqrt(static_cast<double>(head_size)),
          .float_tolerance = 5e-5};
}

TEST(Wkv7, AgreesWithItsReferenceAtEveryLengthAndHeadSize) {
  for (int64_t head_size : {8, 16, 64})
    for (int64_t length : lengths) {
      SCOPED_TRACE(testing::Message() << "head size " << head_size << ", length " << length);
      check_operator(wkv7_case(ragged(length), head_size, head_size == 64 ? 1 : 2));
    }
}

TEST(Wkv7, AgreesWithItsReferenceForOddHeadSizes) {
  for (int64_t head_size : {24, 40}) check_operator(wkv7_case(ragged(5), head_size, 1));
}

OperatorCase wkv2_case(const Sequences& sequences, int64_t C, double epsilon) {
  const int64_t N = sequences.rows(), S = sequences.count();
  return {.sequences = sequences,
          .inputs = {{N, C}, {N, C}, {S, C}, {S, C}},
          .weights = {{C, 1}, {C, 1}},
          .run =
              [=](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                Var aa = x[2], positive = activate(c, Activation::relu_squared, x[3]), bb = positive;
                Var y = wkv2(c, w[0], w[1], x[0], x[1], {aa, bb}, epsilon);
                return std::vector{y, aa, bb};
              },
          .float_tolerance = 5e-5};
}

TEST(Wkv2, AgreesWithItsReferenceAtEveryLength) {
  for (int64_t length : lengths) check_operator(wkv2_case(ragged(length), 13, 1e-8));
  check_operator(wkv2_case(ragged(7), 130, 0.5));
}

TEST(Wkv2, KeysAboveSixtyAreClampedAndGetNoGradient) {
  const Sequences sequences = Sequences::uniform(1, 2);
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    Arena arena;
    Tape tape(arena);
    Context c{arena, sequences, kernels::Precision::f32, &tape};
    Weight decay("time_decay", {1}, dtype), first("time_first", {1}, dtype);
    Var k = c.result({2, 1}, dtype), v = c.result({2, 1}, dtype);
    Var aa = c.result({1, 1}, dtype), bb = c.result({1, 1}, dtype);
    from_host({60, 900}, k.value);
    from_host({1, 2}, v.value);
    set_zero(aa.value);
    set_zero(bb.value);
    Var y = wkv2(c, decay, first, k, v, {aa, bb}, 1e-8);
    EXPECT_NEAR(to_host(y.value)[1], 1.5, 1e-6);  // both keys have the same effect
    Tensor dy = arena.tensor({2, 1}, dtype);
    from_host({0, 1}, dy);
    tape.seed(y, dy);
    tape.backward();
    EXPECT_NEAR(to_host(k.gradient->tensor)[0], -0.25, 1e-6);
    EXPECT_EQ(to_host(k.gradient->tensor)[1], 0);
  }
}

// Three consecutive calls, so that gradients pass through the states: the values of aa, bb and pp depend on
// the maximum that was factored out, but the result of the next call does not.
OperatorCase wkv4_case(const Sequences& sequences, int64_t C, double spread) {
  const int64_t N = sequences.rows(), S = sequences.count();
  const Shape rows{N, C};
  return {.sequences = sequences,
          .inputs = {rows, rows, rows, rows, rows, rows},
          .weights = {{C}, {C}},
          .run =
              [=](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                Var aa = c.result({S, C}, x[0].dtype()), bb = c.result_like(aa), pp = c.result_like(aa);
                set_zero(aa.value);
                set_zero(bb.value);
                from_host(std::vector<double>(static_cast<size_t>(S * C), -1e30), pp.value);
                std::vector<Var> out;
                for (size_t call = 0; call < 3; ++call)
                  out.push_back(wkv4(c, w[0], w[1], x[2 * call], x[2 * call + 1], {aa, bb, pp}));
                return out;
              },
          .spread = spread,
          .float_tolerance = 5e-5};
}

TEST(Wkv4, AgreesWithItsReferenceAtEveryLength) {
  for (int64_t length : lengths) check_operator(wkv4_case(ragged(length), 13, 1));
  check_operator(wkv4_case(ragged(7), 130, 3));
}

TEST(Wkv4, SurvivesHugeKeys) {
  const Sequences sequences = Sequences::uniform(1, 40);
  Arena arena;
  Context c{arena, sequences};
  Weight decay("time_decay", {8}, Dtype::f32), first("time_first", {8}, Dtype::f32);
  for (double key : {60.0, -60.0, 200.0, -200.0, 800.0}) {
    Var k = c.result({40, 8}, Dtype::f32), v = c.result({40, 8}, Dtype::f32);
    from_host(std::vector<double>(320, key), k.value);
    from_host(std::vector<double>(320, 0.5), v.value);
    Var aa = c.result({1, 8}, Dtype::f32), bb = c.result({1, 8}, Dtype::f32),
        pp = c.result({1, 8}, Dtype::f32);
    set_zero(aa.value);
    set_zero(bb.value);
    from_host(std::vector<double>(8, -1e30), pp.value);
    for (double y : to_host(wkv4(c, decay, first, k, v, {aa, bb, pp}).value))
      EXPECT_NEAR(y, 0.5, 1e-6) << key;
  }
}

TEST(Rwkv7Keys, AgreeWithTheirReference) {
  for (int64_t head_size : {8, 16, 64}) {
    const int64_t C = 2 * head_size;
    check_operator({.sequences = Sequences::uniform(1, 19),
                    .inputs = {{19, C}, {19, C}},
                    .weights = {{C}, {C}},
                    .run = [](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                      auto [key, remove, replace] = rwkv7_keys(c, 2, x[0], w[0], x[1], w[1]);
                      return std::vector{key, remove, replace};
                    }});
  }
}

TEST(Rwkv7Output, AgreesWithItsReference) {
  for (int64_t head_size : {8, 16, 64}) {
    const int64_t C = 2 * head_size;
    const Shape rows{19, C};
    check_operator(
        {.sequences = Sequences::uniform(1, 19),
         .inputs = {rows, rows, rows, rows, rows},
         .weights = {{2, head_size}, {C}, {C}},
         .run =
             [](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
               return std::vector{rwkv7_output(c, 2, {x[0], x[1], x[2], x[3], x[4], w[0], w[1], w[2]})};
             },
         .float_tolerance = 1e-4});
  }
}

// The loss starts its own gradients, so it is compared without the helper: with and without chunks, float32
// with double precision.
TEST(HeadLoss, GradientsAgreeWithDifferencesAndL2WrapOnlyAddsItsTerm) {
  const Sequences sequences = Sequences::uniform(1, 5);
  Random random(5);
  const check::Doubles x_values = check::random_values(5 * 6, 1, random),
                       head_values = check::random_values(11 * 6, 1, random);
  const std::vector<int32_t> targets{3, 0, -1, 10, 3};
  auto run = [&](Dtype dtype, const check::Doubles& x_now, bool l2wrap, check::Doubles* dx,
                 check::Doubles* dhead) {
    Arena arena;
    Tape tape(arena);
    Context c{arena, sequences, kernels::Precision::f32, dx ? &tape : nullptr};
    Weight head("head", {11, 6}, dtype);
    from_host(head_values, head.value());
    head.set_trainable(true);
    Var x = c.result({5, 6}, dtype);
    from_host(x_now, x.value);
    const double loss = head_loss(c, x, head, targets, {.l2wrap = l2wrap});
    if (dx) *dx = to_host(x.gradient->tensor);
    if (dhead) *dhead = to_host(head.gradient());
    return loss;
  };
  check::Doubles dx, dx_float, dx_wrapped, dhead, dhead_float, unused;
  const double loss = run(Dtype::f64, x_values, false, &dx, &dhead);
  EXPECT_NEAR(run(Dtype::f32, x_values, false, &dx_float, &dhead_float), loss, 1e-6);
  check::expect_close(dx_float, dx, 1e-5, "dx");
  check::expect_close(dhead_float, dhead, 1e-5, "dhead");
  EXPECT_DOUBLE_EQ(run(Dtype::f64, x_values, true, &dx_wrapped, &unused), loss);
  EXPECT_NE(dx_wrapped, dx);
  for (size_t i = 0; i < x_values.size(); ++i) {
    check::Doubles moved = x_values;
    moved[i] += 1e-5;
    const double above = run(Dtype::f64, moved, false, nullptr, nullptr);
    moved[i] -= 2e-5;
    EXPECT_NEAR((above - run(Dtype::f64, moved, false, nullptr, nullptr)) / 2e-5, dx[i], 1e-8);
  }
}

TEST(HeadLoss, AddsToTheGradientOfAnotherUserOfTheRows) {
  const Sequences sequences = Sequences::uniform(1, 3);
  Random random(5);
  const check::Doubles x_values = check::random_values(3 * 6, 1, random),
                       head_values = check::random_values(11 * 6, 1, random);
  const std::vector<int32_t> targets{3, 0, 10};
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    Arena arena;
    Tape tape(arena);
    Context c{arena, sequences, kernels::Precision::f32, &tape};
    Weight head("head", {11, 6}, dtype);
    from_host(head_values, head.value());
    Var x = c.result({3, 6}, dtype), fixed{x.value};
    from_host(x_values, x.value);
    const double loss = head_loss(c, x, head, targets, {});
    const check::Doubles once = to_host(x.gradient->tensor);
    EXPECT_EQ(head_loss(c, x, head, targets, {.scale = 2}), loss);
    check::Doubles thrice = once;
    for (double& value : thrice) value *= 3;
    check::expect_close(to_host(x.gradient->tensor), thrice, 1e-6, "dx");
    EXPECT_EQ(head_loss(c, fixed, head, targets, {}), loss);  // rows that want no gradient
  }
}

}  // namespace
}  // namespace aviary
