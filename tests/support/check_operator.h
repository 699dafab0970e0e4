// The helper that tests every operator: gradients in double precision against central differences, and
// float32 kernels (values and gradients) against the double-precision reference. For tests only.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "ops/ops.h"

namespace aviary {

struct OperatorCase {
  Sequences sequences;
  std::vector<Shape> inputs, weights;
  // Returns all outputs, including new states.
  std::function<std::vector<Var>(Context&, std::vector<Var>&, std::vector<Weight>&)> run;
  double spread = 1;                 // of the random values
  double float_tolerance = 2e-5;     // relative to the largest element
  std::vector<int64_t> positions{};  // of the sequences
};

namespace check {

using Doubles = std::vector<double>;

inline Doubles random_values(int64_t count, double spread, Random& random) {
  Doubles values(static_cast<size_t>(count));
  for (double& value : values) value = spread * random.normal();
  return values;
}

struct Outcome {
  double loss = 0;  // sum of out * gout over all outputs
  std::vector<Doubles> outputs, input_gradients, weight_gradients;
};

inline Outcome evaluate(const OperatorCase& op, Dtype dtype, const std::vector<Doubles>& inputs,
                        const std::vector<Doubles>& weights, uint64_t seed, bool gradients) {
  Arena arena;
  Tape tape(arena);
  Context c{arena, op.sequences, kernels::Precision::f32, gradients ? &tape : nullptr};
  c.positions = op.positions;
  std::vector<Var> vars;
  std::vector<Weight> parameters;
  for (size_t i = 0; i < inputs.size(); ++i) {
    vars.push_back(c.result(op.inputs[i], dtype));
    from_host(inputs[i], vars.back().value);
  }
  for (size_t i = 0; i < weights.size(); ++i) {
    parameters.emplace_back("weight " + std::to_string(i), op.weights[i], dtype);
    from_host(weights[i], parameters.back().value());
    parameters.back().set_trainable(gradients);
  }
  const std::vector<Var> leaves = vars;
  Outcome outcome;
  Random random(seed);
  for (const Var& output : op.run(c, vars, parameters)) {
    outcome.outputs.push_back(to_host(output.value));
    const Doubles gout = random_values(output.value.count(), 1, random);
    for (size_t i = 0; i < gout.size(); ++i) outcome.loss += gout[i] * outcome.outputs.back()[i];
    if (!gradients) continue;
    Tensor seed_tensor = arena.tensor(output.shape(), dtype);
    from_host(gout, seed_tensor);
    tape.seed(output, seed_tensor);
  }
  if (!gradients) return outcome;
  tape.backward();
  for (const Var& leaf : leaves)
    outcome.input_gradients.push_back(leaf.gradient->tensor.empty()
                                          ? Doubles(static_cast<size_t>(leaf.value.count()))
                                          : to_host(leaf.gradient->tensor));
  for (const Weight& weight : parameters) outcome.weight_gradients.push_back(to_host(weight.gradient()));
  return outcome;
}

inline void expect_close(const Doubles& ours, const Doubles& expected, double tolerance,
                         const std::string& what) {
  ASSERT_EQ(ours.size(), expected.size()) << what;
  double scale = 1e-3;
  for (double value : expected) scale = std::max(scale, std::abs(value));
  for (size_t i = 0; i < ours.size(); ++i)
    ASSERT_LE(std::abs(ours[i] - expected[i]), tolerance * scale)
        << what << " at " << i << ": " << ours[i] << ", expected " << expected[i];
}

// Compares a few random elements of the gradient of one argument with central differences.
inline void expect_differences(const OperatorCase& op, std::vector<Doubles> inputs,
                               std::vector<Doubles> weights, bool of_weight, size_t which,
                               const Doubles& analytic, uint64_t seed) {
  Doubles& argument = of_weight ? weights[which] : inputs[which];
  Random random(seed ^ (which * 2 + of_weight + 77));
  double scale = 1e-6;
  for (double value : analytic) scale = std::max(scale, std::abs(value));
  for (int trial = 0; trial < 12 && !argument.empty(); ++trial) {
    const auto i = static_cast<size_t>(random.below(static_cast<int64_t>(argument.size())));
    const double old = argument[i], step = 1e-5 * std::max(1.0, std::abs(old));
    argument[i] = old + step;
    const double above = evaluate(op, Dtype::f64, inputs, weights, seed, false).loss;
    argument[i] = old - step;
    const double below = evaluate(op, Dtype::f64, inputs, weights, seed, false).loss;
    argument[i] = old;
    ASSERT_NEAR((above - below) / (2 * step), analytic[i], 2e-6 * scale + 1e-7 * std::abs(above))
        << (of_weight ? "weight " : "input ") << which << " element " << i;
  }
}

}  // namespace check

inline void check_operator(const OperatorCase& op, uint64_t seed = 1) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  std::vector<check::Doubles> inputs, weights;
  for (const Shape& shape : op.inputs)
    inputs.push_back(check::random_values(shape.count(), op.spread, random));
  for (const Shape& shape : op.weights)
    weights.push_back(check::random_values(shape.count(), op.spread, random));
  for (auto* list : {&inputs, &weights})  // the same numbers in float32 and in double precision
    for (check::Doubles& values : *list)
      for (double& value : values) value = static_cast<double>(static_cast<float>(value));

  const check::Outcome exact = check::evaluate(op, Dtype::f64, inputs, weights, seed, true);
  for (size_t i = 0; i < inputs.size(); ++i)
    check::expect_differences(op, inputs, weights, false, i, exact.input_gradients[i], seed);
  for (size_t i = 0; i < weights.size(); ++i)
    check::expect_differences(op, inputs, weights, true, i, exact.weight_gradients[i], seed);

  const check::Outcome fast = check::evaluate(op, Dtype::f32, inputs, weights, seed, true);
  for (size_t i = 0; i < exact.outputs.size(); ++i)
    check::expect_close(fast.outputs[i], exact.outputs[i], op.float_tolerance, "output " + std::to_string(i));
  for (size_t i = 0; i < inputs.size(); ++i)
    check::expect_close(fast.input_gradients[i], exact.input_gradients[i], 10 * op.float_tolerance,
                        "gradient of input " + std::to_string(i));
  for (size_t i = 0; i < weights.size(); ++i)
    check::expect_close(fast.weight_gradients[i], exact.weight_gradients[i], 10 * op.float_tolerance,
                        "gradient of weight " + std::to_string(i));
}

// Ragged sequences of `rows` rows and of similar lengths.
inline Sequences ragged(int64_t rows) {
  Sequences sequences;
  sequences.append(3);
  sequences.append(rows);
  sequences.append(1);
  return sequences;
}

}  // namespace aviary
