#include <deque>
#include <memory>

#include "support/check_operator.h"

namespace aviary {
namespace {

// Lengths around the block size of the kernels, and a few others.
const int64_t history_lengths[] = {1, 31, 32, 97};

constexpr int64_t context = 130;

// Sequences of 3, `rows` and 1 rows that have read 0, 5 and 20 before; x: q, k, v, histories of k and v.
OperatorCase attention_case(int64_t rows, int64_t heads, int64_t key_size, int64_t value_size,
                            const Attention& options) {
  const Sequences sequences = ragged(rows);
  const int64_t N = sequences.rows(), capacity = rows + 30;
  OperatorCase op{.sequences = sequences,
                  .inputs = {{N, heads * key_size},
                             {N, heads * key_size},
                             {N, heads * value_size},
                             {3, capacity, heads * key_size},
                             {3, capacity, heads * value_size}},
                  .weights = {},
                  .run =
                      [=](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                        Attention with = options;
                        with.heads = heads;
                        if (w.size() >= 3) with.time = {&w[0], &w[1], &w[2]};
                        if (w.size() >= 4) with.mix = &w[3];
                        Var keys = x[3], values = x[4];
                        append_history(c, x[1], keys);
                        append_history(c, x[2], values);
                        return std::vector{attention(c, x[0], keys, values, with)};
                      },
                  .positions = {0, 5, 20}};
  return op;
}

TEST(AttentionOperator, AgreesWithItsReferenceAtEveryLength) {
  for (int64_t rows : history_lengths) check_operator(attention_case(rows, 2, 8, 8, {.scale = 0.4}));
}

TEST(AttentionOperator, KeysAndValuesCanBeOfAnyWidth) {
  check_operator(attention_case(37, 1, 4, 13, {.scale = 0.5}));
  check_operator(attention_case(5, 3, 1, 24, {.scale = 1}));
  check_operator(attention_case(33, 1, 64, 48, {.scale = 0.125}));
}

TEST(AttentionOperator, ScoresCanBeTheWeights) {
  for (int64_t rows : history_lengths)
    check_operator(attention_case(rows, 1, 8, 16, {.scale = 0.3, .softmax = false}));
}

TEST(AttentionOperator, ScoresCanBeCapped) {
  check_operator(attention_case(37, 1, 16, 8, {.scale = 0.5, .cap = 2}));
  check_operator(attention_case(37, 1, 16, 8, {.scale = 0.5, .cap = 2, .softmax = false}));
}

TEST(AttentionOperator, WeightsCanDecayWithTimeAndBeMixedAcrossHeads) {
  for (int64_t rows : history_lengths) {
    OperatorCase op = attention_case(rows, 3, 4, 8, {.scale = 0.5});
    op.weights = {{3, context}, {3, 1, context}, {3, context, 1}};
    check_operator(op);
    op.weights.push_back({3, 3, 1, 1});
    check_operator(op);
  }
}

TEST(AttentionOperator, HugeScoresDoNotOverflow) {
  Arena arena;
  const Sequences sequences = Sequences::uniform(1, 3);
  Context c{arena, sequences};
  Var q = c.result({3, 4}, Dtype::f32), k = c.result({1, 3, 4}, Dtype::f32);
  from_host(std::vector<double>(12, 100.0), q.value);
  from_host({-90, -90, -90, -90, 80, 80, 80, 80, 90, 90, 90, 90}, k.value);
  const std::vector<double> y = to_host(attention(c, q, k, k, {}).value);
  for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], to_host(k.value)[i]);
}

TEST(AttentionOperator, ShapesThatDoNotMatchAreErrors) {
  Arena arena;
  const Sequences sequences = Sequences::uniform(2, 3);
  Context c{arena, sequences};
  const std::vector<int64_t> positions{0, 6};
  c.positions = positions;
  Var q = c.result({6, 8}, Dtype::f32), k = c.result({2, 8, 8}, Dtype::f32),
      wide = c.result({2, 9, 8}, Dtype::f32);
  auto refusal = [&](const Var& keys, const Attention& options) -> std::string {
    try {
      attention(c, q, keys, keys, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal(k, {}), "attention: 9 rows in a history with a capacity of 8");
  EXPECT_EQ(refusal(wide, {.heads = 3}),
            "attention: 8 columns of q and 8 of v cannot be divided into 3 heads");
  Weight w("w", {2, 8}, Dtype::f32);
  EXPECT_EQ(refusal(wide, {.heads = 2, .time = {&w, &w, &w}}),
            "attention: position 8 is beyond the context length of 8");
}

// x: k, v, histories of both.
OperatorCase average_case(int64_t rows, int64_t C, std::vector<Shape> weights) {
  const Sequences sequences = ragged(rows);
  const int64_t N = sequences.rows(), capacity = rows + 21;
  const bool is_aft = weights.size() == 1;
  return {.sequences = sequences,
          .inputs = {{N, C}, {N, C}, {3, capacity, C}, {3, capacity, C}},
          .weights = std::move(weights),
          .run =
              [=](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                Var keys = x[2], values = x[3];
                append_history(c, x[0], keys);
                append_history(c, x[1], values);
                if (is_aft) return std::vector{aft_full(c, w[0], keys, values)};
                return std::vector{wkv1(c, {&w[0], &w[1], &w[2]}, keys, values)};
              },
          .positions = {0, 5, 20}};
}

TEST(Wkv1, AgreesWithItsReferenceAtEveryLength) {
  for (int64_t rows : history_lengths)
    check_operator(average_case(rows, 24, {{2, context}, {2, 1, context}, {2, context, 1}}));
  check_operator(average_case(40, 195, {{3, context}, {3, 1, context}, {3, context, 1}}));
}

TEST(Wkv1, KeysAreClamped) {
  Arena arena;
  Tape tape(arena);
  const Sequences sequences = Sequences::uniform(1, 2);
  Context c{arena, sequences, kernels::Precision::f32, &tape};
  std::vector<Weight> ones;
  for (int i = 0; i < 3; ++i) {
    ones.emplace_back("time", Shape{1, 2}, Dtype::f32);
    from_host({1, 1}, ones.back().value());
  }
  Var k = c.result({1, 2, 2}, Dtype::f32), v = c.result({1, 2, 2}, Dtype::f32);
  from_host({-1000, 1000, -60, 1000}, k.value);
  from_host({1, 2, 3, 4}, v.value);
  Var y = wkv1(c, {&ones[0], &ones[1], &ones[2]}, k, v);
  EXPECT_EQ(to_host(y.value), (std::vector<double>{1, 2, 2, 3}));
  Tensor dy = arena.tensor({2, 2}, Dtype::f32);
  from_host({1, 1, 1, 1}, dy);
  tape.seed(y, dy);
  tape.backward();
  check::expect_close(to_host(k.gradient->tensor), {0, 0, 0.5, 0}, 1e-6, "gradient of k");
}

TEST(Aft, AgreesWithItsReferenceAtEveryLength) {
  for (int64_t rows : history_lengths) check_operator(average_case(rows, 24, {{context, context}}));
  check_operator(average_case(40, 135, {{context, context}}));
}

// If the largest key and the largest weight of a row belong to different tokens, the scaled products
// underflow to 0.
TEST(Aft, AgreesWithItsReferenceWhereLargeWeightsMeetSmallKeys) {
  OperatorCase op = average_case(5, 3, {{context, context}});
  op.spread = 150;
  op.float_tolerance = 1e-4;
  check_operator(op);
}

TEST(Rotary, RotatesTheFirstColumnsOfEveryHead) {
  for (int64_t F : {1, 2, 16}) {
    auto kept = std::make_shared<std::deque<Weight>>();  // until the gradients are computed
    auto run = [=](Context& c, std::vector<Var>& x, std::vector<Weight>&) {
      const Weight& frequencies = kept->emplace_back("inv_freq", Shape{F}, x[0].dtype());
      std::vector<double> values;
      for (int64_t i = 0; i < F; ++i)
        values.push_back(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(F)));
      from_host(values, frequencies.value());
      return std::vector{rotary(c, 3, x[0], frequencies)};
    };
    check_operator({.sequences = ragged(9),
                    .inputs = {{13, 3 * (2 * F + 5)}},
                    .weights = {},
                    .run = run,
                    .positions = {0, 5, 20}});
  }
}

TEST(ScaleByPosition, HasAFactorForEveryPosition) {
  for (int64_t cols : {1, 13, 64})
    check_operator(
        {.sequences = ragged(9),
         .inputs = {{13, cols}},
         .weights = {{1, 24, 1}},
         .run = [](Context& c, std::vector<Var>& x,
                   std::vector<Weight>& w) { return std::vector{scale_by_position(c, x[0], w[0])}; },
         .positions = {0, 5, 20}});
}

TEST(AppendHistory, AppendsRowsToTheExistingOnes) {
  OperatorCase op{.sequences = ragged(4),
                  .inputs = {{8, 3}, {3, 9, 3}},
                  .weights = {},
                  .run =
                      [](Context& c, std::vector<Var>& x, std::vector<Weight>&) {
                        Var history = x[1];
                        return std::vector{append_history(c, x[0], history)};
                      },
                  .positions = {0, 5, 2}};
  check_operator(op);
}

TEST(AppendHistory, WithoutATapeWorksInPlace) {
  Arena arena;
  const Sequences sequences = Sequences::uniform(1, 1);
  Context c{arena, sequences};
  const std::vector<int64_t> positions{1};
  c.positions = positions;
  Var x = c.result({1, 2}, Dtype::f32), history = c.result({1, 3, 2}, Dtype::f32);
  from_host({7, 8}, x.value);
  from_host({1, 2, 0, 0, 0, 0}, history.value);
  const void* memory = history.value.data();
  EXPECT_EQ(append_history(c, x, history).value.data(), memory);
  EXPECT_EQ(to_host(history.value), (std::vector<double>{1, 2, 7, 8, 0, 0}));
}

}  // namespace
}  // namespace aviary
