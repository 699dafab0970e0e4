#include "ops/check_operator.h"

namespace aviary {
namespace {

// Around the length of a block of the kernels, and a few.
const int64_t lengths[] = {1, 31, 32, 97};

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
  for (int64_t rows : lengths) check_operator(attention_case(rows, 2, 8, 8, {.scale = 0.4}));
}

TEST(AttentionOperator, KeysAndValuesCanBeOfAnyWidth) {
  check_operator(attention_case(37, 1, 4, 13, {.scale = 0.5}));
  check_operator(attention_case(5, 3, 1, 24, {.scale = 1}));
  check_operator(attention_case(33, 1, 64, 48, {.scale = 0.125}));
}

TEST(AttentionOperator, ScoresCanBeTheWeights) {
  for (int64_t rows : lengths)
    check_operator(attention_case(rows, 1, 8, 16, {.scale = 0.3, .softmax = false}));
}

TEST(AttentionOperator, ScoresCanBeCapped) {
  check_operator(attention_case(37, 1, 16, 8, {.scale = 0.5, .cap = 2}));
  check_operator(attention_case(37, 1, 16, 8, {.scale = 0.5, .cap = 2, .softmax = false}));
}

TEST(AttentionOperator, WeightsCanFadeWithTimeAndBeMixedAmongHeads) {
  for (int64_t rows : lengths) {
    OperatorCase op = attention_case(rows, 3, 4, 8, {.scale = 0.5});
    op.weights = {{3, context}, {3, 1, context}, {3, context, 1}};
    check_operator(op);
    op.weights.push_back({3, 3, 1, 1});
    check_operator(op);
  }
}

TEST(AttentionOperator, HugeScoresMakeNoInfinity) {
  Arena arena;
  const Sequences sequences = Sequences::uniform(1, 3);
  Context c{arena, sequences};
  Var q = c.result({3, 4}, Dtype::f32), k = c.result({1, 3, 4}, Dtype::f32);
  from_host(std::vector<double>(12, 100.0), q.value);
  from_host({-90, -90, -90, -90, 80, 80, 80, 80, 90, 90, 90, 90}, k.value);
  const std::vector<double> y = to_host(attention(c, q, k, k, {}).value);
  for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], to_host(k.value)[i]);
}

TEST(AttentionOperator, RefusesWhatDoesNotFitWithASentence) {
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

TEST(AppendHistory, PutsRowsBehindThoseThatAreThere) {
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

}  // namespace
}  // namespace aviary
