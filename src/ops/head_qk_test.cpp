#include "support/check_operator.h"

namespace aviary {
namespace {

// Logits of a step after earlier texts, with repeated tokens.
OperatorCase copies_case(const std::vector<int64_t>& positions, bool largest) {
  constexpr int64_t D = 6, V = 4, capacity = 16;
  Sequences sequences;
  for (int64_t length : {3, 1, 5}) sequences.append(length);
  const int64_t N = sequences.rows(), S = sequences.count();
  return {.sequences = sequences,
          .inputs = {{N, D}, {N, D}, {S, capacity, D}, {N, 7}},
          .weights = {{V, 7}},
          .run =
              [=, &positions](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
                c.positions = positions;
                std::vector<double> read(static_cast<size_t>(S * capacity));
                for (size_t i = 0; i < read.size(); ++i) read[i] = static_cast<double>(i * 7 % V);
                Copies copies{.q = x[0],
                              .keys = x[2],
                              .ids = {c.arena.tensor({S, capacity, 1}, x[0].dtype())},
                              .scale = 0.5,
                              .largest = largest};
                from_host(read, copies.ids.value);
                copies.keys = append_history(c, x[1], copies.keys);
                const std::vector<int32_t> targets{0, 3, 1, 2, -1, 0, 1, 1, 3};
                Var loss = c.result({1}, x[0].dtype());
                from_host({head_loss(c, x[3], w[0], targets, {}, {}, copies)}, loss.value);
                return std::vector{loss};
              },
          .float_tolerance = 5e-5};
}

// The loss is the last operator: it computes its gradients immediately, for any gradient of its value.
void check_copies(bool largest) {
  const std::vector<int64_t> none{0, 0, 0}, some{4, 0, 9};
  for (const auto& positions : {none, some}) {
    const OperatorCase op = copies_case(positions, largest);
    Random random(5);
    std::vector<check::Doubles> inputs, weights;
    for (const Shape& shape : op.inputs) inputs.push_back(check::random_values(shape.count(), 1, random));
    for (const Shape& shape : op.weights) weights.push_back(check::random_values(shape.count(), 1, random));
    const check::Outcome exact = check::evaluate(op, Dtype::f64, inputs, weights, 1, true);
    const double factor = exact.loss / exact.outputs[0][0];  // by which the helper scales the loss
    for (size_t i = 0; i < inputs.size(); ++i) {
      check::Doubles scaled = exact.input_gradients[i];
      for (double& g : scaled) g *= factor;
      check::expect_differences(op, inputs, weights, false, i, scaled, 1);
    }
    const check::Outcome fast = check::evaluate(op, Dtype::f32, inputs, weights, 1, true);
    check::expect_close(fast.outputs[0], exact.outputs[0], 1e-5, "loss");
    for (size_t i = 0; i < inputs.size(); ++i)
      check::expect_close(fast.input_gradients[i], exact.input_gradients[i], 1e-4, "gradient");
  }
}

TEST(HeadQk, GradientsAgreeWithDifferencesWhenAllOccurrencesCount) { check_copies(false); }
TEST(HeadQk, GradientsAgreeWithDifferencesWhenTheLargestCounts) { check_copies(true); }

TEST(HeadQk, AddsEveryOccurrenceOrTheLargestToTheLogitOfItsToken) {
  Arena arena;
  const Sequences one = Sequences::uniform(1, 3);
  Context c{arena, one};
  auto tensor = [&](Shape shape, const std::vector<double>& values) {
    const Tensor result = arena.tensor(shape, Dtype::f64);
    from_host(values, result);
    return result;
  };
  Copies copies{.q = {tensor({3, 1}, {1, 2, 3})},
                .keys = {tensor({1, 3, 1}, {10, 20, 40})},
                .ids = {tensor({1, 3, 1}, {2, 0, 2})},
                .scale = 0.5};
  const std::vector<int64_t> rows{0, 2};
  for (bool largest : {false, true}) {
    copies.largest = largest;
    const Tensor logits = tensor({2, 3}, {0, 0, 0, 1, 1, 1});
    add_copies(c, copies, rows, logits);
    const double both = largest ? 60 : 15 + 60;
    EXPECT_EQ(to_host(logits), (std::vector<double>{0, 0, 5, 1 + 30, 1, 1 + both}));
  }
}

}  // namespace
}  // namespace aviary
