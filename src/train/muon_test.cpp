#include "train/muon.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/threads.h"

namespace aviary {
namespace {

ParameterSpec spec_of(Use use, Shape shape, int64_t parts = 1) {
  return {.name = "w", .use = use, .shape = shape, .initialize = {}, .parts = parts};
}

// A weight with random numbers, and what a rule keeps of it.
struct Moved {
  ParameterSpec spec;
  OwnedTensor value, gradient;
  std::vector<OwnedTensor> memory;
  std::vector<Tensor> moments;

  Moved(const ParameterSpec& of, const UpdateRule& rule, Dtype dtype, uint64_t seed = 1)
      : spec(of), value(of.shape, dtype), gradient(of.shape, dtype) {
    for (const MomentSpec& moment : rule.moments(of)) memory.emplace_back(moment.shape, dtype);
    for (const OwnedTensor& one : memory) moments.push_back(one.view());
    fill(value.view(), seed);
  }
  static void fill(const Tensor& tensor, uint64_t seed) {
    Random random(seed);
    std::vector<double> numbers(static_cast<size_t>(tensor.count()));
    for (double& number : numbers) number = 0.1 * random.normal();
    from_host(numbers, tensor);
  }
  // Steps with random gradients.
  void go(const UpdateRule& rule, int64_t steps, double weight_decay = 0) {
    for (int64_t step = 1; step <= steps; ++step) {
      fill(gradient.view(), 100 + static_cast<uint64_t>(step));
      const UpdatedWeight weight{&spec, 0.01, value.view(), gradient.view(), moments};
      rule.update({.number = step, .gradient_scale = 0.5, .weight_decay = weight_decay}, {&weight, 1});
      for (double g : to_host(gradient.view())) EXPECT_EQ(g, 0);
    }
  }
};

double largest_gap(const Tensor& a, const Tensor& b) {
  const std::vector<double> one = to_host(a), other = to_host(b);
  double largest = 0;
  for (size_t i = 0; i < one.size(); ++i) largest = std::max(largest, std::abs(one[i] - other[i]));
  return largest;
}

TEST(UpdateRules, TheirKernelsFollowTheReferences) {
  const AdamW adam(0.9, 0.99, 1e-8), careful_adam(0.9, 0.99, 1e-8, true);
  const Lion lion(0.9, 0.99), careful_lion(0.9, 0.99, true);
  const Muon muon(0.95, 3, false, kernels::Precision::f32),
      careful_muon(0.95, 0, true, kernels::Precision::f32);
  for (const UpdateRule* rule : std::initializer_list<const UpdateRule*>{
           &adam, &careful_adam, &lion, &careful_lion, &muon, &careful_muon}) {
    const ParameterSpec spec = spec_of(Use::out_in, {12, 20});
    Moved reference(spec, *rule, Dtype::f64), kernel(spec, *rule, Dtype::f32);
    reference.go(*rule, 5, 0.3);
    kernel.go(*rule, 5, 0.3);
    EXPECT_LT(largest_gap(reference.value.view(), kernel.value.view()), 2e-5);
    for (size_t i = 0; i < reference.moments.size(); ++i)
      EXPECT_LT(largest_gap(reference.moments[i], kernel.moments[i]), 1e-6);
  }
}

TEST(UpdateRules, LionMovesEveryNumberByTheRate) {
  const Lion lion(0.9, 0.99);
  Moved weight(spec_of(Use::vector, {30}), lion, Dtype::f32), before = Moved(weight.spec, lion, Dtype::f32);
  weight.go(lion, 1);
  const std::vector<double> now = to_host(weight.value.view()), old = to_host(before.value.view());
  for (size_t i = 0; i < now.size(); ++i) EXPECT_NEAR(std::abs(now[i] - old[i]), 0.01, 1e-6);
}

TEST(UpdateRules, CautiousDecayLeavesWhatTheStepMakesLarger) {
  const AdamW plain(0.9, 0.99, 1e-8), cautious(0.9, 0.99, 1e-8, true);
  const ParameterSpec spec = spec_of(Use::vector, {200});
  Moved start(spec, plain, Dtype::f32), without(spec, plain, Dtype::f32), with(spec, plain, Dtype::f32),
      careful(spec, plain, Dtype::f32);
  without.go(plain, 1);
  with.go(plain, 1, 3);
  careful.go(cautious, 1, 3);
  const std::vector<double> old = to_host(start.value.view()), free = to_host(without.value.view()),
                            decayed = to_host(with.value.view()), chosen = to_host(careful.value.view());
  for (size_t i = 0; i < old.size(); ++i)
    EXPECT_EQ(chosen[i], (free[i] - old[i]) * old[i] <= 0 ? decayed[i] : free[i]) << i;
}

TEST(Muon, MovesAMatrixByTheSizeOfAnUpdateOfAdamWhateverItsShape) {
  const Muon muon(0.95, 0, false, kernels::Precision::f32);
  for (const Shape shape : {Shape{32, 32}, Shape{16, 64}, Shape{64, 16}}) {
    Moved weight(spec_of(Use::out_in, shape), muon, Dtype::f32), start(weight.spec, muon, Dtype::f32);
    weight.go(muon, 1);
    const std::vector<double> now = to_host(weight.value.view()), old = to_host(start.value.view());
    double squares = 0;
    for (size_t i = 0; i < now.size(); ++i) squares += std::pow(now[i] - old[i], 2);
    EXPECT_NEAR(std::sqrt(squares / static_cast<double>(now.size())), 0.01 * 0.2, 0.01 * 0.2 * 0.2);
  }
}

TEST(Muon, WhatHoldsSeveralMatricesIsMovedMatrixByMatrix) {
  const Muon muon(0.95, 0, false, kernels::Precision::f32);
  Moved joined(spec_of(Use::in_out, {16, 24}, 3), muon, Dtype::f32),
      stack(spec_of(Use::stack, {3, 16, 8}), muon, Dtype::f32);
  // The same numbers: part p of the columns is matrix p of the stack.
  Moved::fill(joined.gradient.view(), 5);
  auto rearranged = [&](const Tensor& from) {
    const std::vector<double> all = to_host(from);
    std::vector<double> parts;
    for (size_t part = 0; part < 3; ++part)
      for (size_t row = 0; row < 16; ++row)
        for (size_t col = 0; col < 8; ++col) parts.push_back(all[row * 24 + part * 8 + col]);
    return parts;
  };
  from_host(rearranged(joined.value.view()), stack.value.view());
  from_host(rearranged(joined.gradient.view()), stack.gradient.view());
  for (Moved* one : {&joined, &stack}) {
    const UpdatedWeight weight{&one->spec, 0.01, one->value.view(), one->gradient.view(), one->moments};
    muon.update({.number = 1}, {&weight, 1});
  }
  EXPECT_EQ(rearranged(joined.value.view()), to_host(stack.value.view()));
}

TEST(Muon, TheMomentumRisesDuringItsWarmUp) {
  const Muon muon(0.95, 10, false, kernels::Precision::f32);
  EXPECT_DOUBLE_EQ(muon.momentum_at(0), 0.85);
  EXPECT_DOUBLE_EQ(muon.momentum_at(5), 0.9);
  EXPECT_DOUBLE_EQ(muon.momentum_at(10), 0.95);
  EXPECT_DOUBLE_EQ(muon.momentum_at(500), 0.95);
}

}  // namespace
}  // namespace aviary
