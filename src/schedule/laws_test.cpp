#include "schedule/laws.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "schedule/proposal.h"

namespace aviary {
namespace {

const MultiPowerLaw law{
    .floor = 3.04, .A = 0.525, .alpha = 0.508, .B = 364, .C = 2.07, .beta = 0.583, .gamma = 0.641};

// The law's sum over single steps, as the paper writes it.
double by_steps(const MultiPowerLaw& of, const RateCurve& rates, int t) {
  std::vector<double> eta{0}, area{0};
  for (int k = 1; k <= t; ++k) {
    eta.push_back(rates.rate(k));
    area.push_back(area.back() + eta.back());
  }
  double sum = 0;
  for (size_t k = 1; k < eta.size(); ++k) {
    if (eta[k] == eta[k - 1]) continue;
    const double x = std::pow(eta[k], -of.gamma) * (area.back() - area[k - 1]);
    sum += (eta[k] - eta[k - 1]) * (1 - std::pow(1 + of.C * x, -of.beta));
  }
  return of.floor + of.A * std::pow(area.back(), -of.alpha) + of.B * sum;
}

TEST(MultiPowerLaw, PiecesGiveWhatSingleStepsGive) {
  const RunPlan plan{.steps = 24000, .warm_up = 2160, .highest = 3e-4, .end = 3e-5};
  for (const char* kind : {"constant", "linear", "cosine", "exponential", "sqrt", "power"})
    for (const double cooldown : {0.2, 1.0}) {
      const RateCurve rates = rates_of({.kind = kind, .cooldown = cooldown}, plan);
      for (const int step : {4000, 12345, 23000, 24000})
        EXPECT_NEAR(law.loss(rates, step), by_steps(law, rates, step), 5e-4) << kind << " " << step;
    }
}

TEST(MultiPowerLaw, AJumpOfTheRateGivesWhatSingleStepsGive) {
  const RateCurve rates({{2000, 3e-4}, {8000, 3e-4}, {8000, 3e-5}, {14000, 3e-5}});
  for (const int step : {3000, 8100, 14000})
    EXPECT_NEAR(law.loss(rates, step), by_steps(law, rates, step), 5e-4) << step;
}

TEST(MultiPowerLaw, BetaOfOneIsNoSpecialPoint) {
  const RunPlan plan{.steps = 4000, .warm_up = 200, .highest = 1e-3, .end = 1e-4};
  const RateCurve rates = rates_of({.kind = "linear"}, plan);
  MultiPowerLaw one = law, near = law;
  one.beta = 1;
  near.beta = 1.0001;
  EXPECT_NEAR(one.loss(rates, 4000), near.loss(rates, 4000), 1e-5);
}

const RelaxationLaw relaxation{.floor = 2.5, .alpha = 300, .beta = 1.2, .start = 9};

TEST(RelaxationLaw, FollowsItsRecurrence) {
  const RunPlan plan{.steps = 20000, .warm_up = 100, .highest = 7e-4, .end = 1e-4};
  const RateCurve rates = rates_of({.kind = "cosine"}, plan);
  std::vector<double> steps;
  for (int step = 50; step <= 20000; step += 50) steps.push_back(step);
  const std::vector<double> losses = relaxation.losses(rates, steps);
  double loss = relaxation.start;
  for (int step = 1; step <= 20000; ++step) {
    const double eta = rates.rate(step);
    loss -= relaxation.beta * eta * (loss - relaxation.floor - relaxation.alpha * eta);
    if (step % 5000 == 0) {
      EXPECT_NEAR(losses[static_cast<size_t>(step / 50 - 1)], loss, 2e-3) << "step " << step;
    }
  }
}

TEST(RelaxationLaw, NoRateNearTheBestOneEndsLower) {
  auto end_with = [](double bend) {
    double loss = 4;
    for (int t = 0; t < 20000; ++t) {
      const double eta = relaxation.best_rate(4, t) * (1 + bend * std::sin(t * 0.001));
      loss -= relaxation.beta * eta * (loss - relaxation.floor - relaxation.alpha * eta);
    }
    return loss;
  };
  const double best = end_with(0);
  for (const double bend : {-0.3, -0.05, 0.05, 0.3}) EXPECT_LT(best, end_with(bend)) << bend;
  // x / (1 + beta x t / (4 alpha)), the closed form of the end
  const double x = 4 - relaxation.floor;
  EXPECT_NEAR(best, relaxation.floor + x / (1 + relaxation.beta * x * 20000 / (4 * relaxation.alpha)), 2e-3);
}

}  // namespace
}  // namespace aviary
