#include "schedule/fit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "schedule/drawing.h"
#include "schedule/proposal.h"
#include "support/repository.h"

namespace aviary {
namespace {

const MultiPowerLaw truth{
    .floor = 2.0, .A = 0.6, .alpha = 0.45, .B = 40, .C = 1.5, .beta = 0.55, .gamma = 0.6};
const RunPlan plan{.steps = 3000, .warm_up = 50, .highest = 3e-3, .end = 3e-4};

// A run whose losses follow the law, with so much noise in the logarithm.
LossCurve made(const std::string& kind, double cooldown, double noise, RunPlan of = plan) {
  LossCurve curve{.name = kind, .points = {}, .rates = rates_of({.kind = kind, .cooldown = cooldown}, of)};
  Random random(7, std::hash<std::string>{}(kind));
  std::vector<double> steps;
  for (double step = 10; step <= of.steps; step += 10) steps.push_back(step);
  const std::vector<double> losses = truth.losses(curve.rates, steps);
  for (size_t i = 0; i < steps.size(); ++i)
    curve.points.push_back({steps[i], losses[i] * std::exp(noise * random.normal())});
  return curve;
}

TEST(RatesOf, ARunOfAnyLengthHasAllShapes) {
  for (double steps = 5; steps < 20'000; steps += 7)
    for (const double cooldown : {0.1, 1.0}) {
      RunPlan any = plan;
      any.steps = steps;
      any.warm_up = steps / 5;  // which has no exact floating-point number
      const RateCurve rates = rates_of({.kind = "linear", .cooldown = cooldown}, any);
      ASSERT_NEAR(rates.rate(any.warm_up), any.highest, 1e-9) << steps;
      ASSERT_NEAR(rates.rate(steps), any.end, 1e-9) << steps;
    }
}

TEST(MultiPowerFit, PredictsScheduleAndHorizonThatWereNotFitted) {
  const std::vector<LossCurve> curves{made("cosine", 1, 0), made("constant", 1, 0), made("linear", 0.2, 0)};
  const MultiPowerFit fit(curves, {});
  RunPlan longer = plan;
  longer.steps = 9000;
  for (const LossCurve& other :
       {made("exponential", 1, 0), made("power", 0.5, 0), made("cosine", 1, 0, longer)}) {
    const LawError error = error_of(fit.law(), other, first_used(other, 0));
    EXPECT_LT(error.mean, 1e-3) << other.name;
    EXPECT_NEAR(error.last_predicted, error.last_loss, 3e-3 * error.last_loss) << other.name;
  }
}

TEST(MultiPowerFit, NoisyRunsGiveIntervalsThatHoldTheLossOfOthers) {
  const std::vector<LossCurve> curves{made("cosine", 1, 0.02), made("constant", 1, 0.02)};
  const MultiPowerFit fit(curves, {});
  for (const char* kind : {"linear", "exponential", "sqrt", "power"}) {
    const RateCurve rates = rates_of({.kind = kind}, plan);
    const Prediction loss = fit.predict(rates, plan.steps);
    const double real = truth.loss(rates, plan.steps);
    EXPECT_LT(loss.low, real) << kind;
    EXPECT_GT(loss.high, real) << kind;
    EXPECT_NEAR(loss.value, real, 0.02 * real) << kind;
    EXPECT_LT(loss.high - loss.low, 0.3 * real) << kind;
  }
}

TEST(MultiPowerFit, TheProposedScheduleEndsLowerThanTheUsualOnes) {
  const std::vector<LossCurve> curves{made("cosine", 1, 0), made("constant", 1, 0), made("linear", 0.2, 0)};
  const MultiPowerFit fit(curves, {});
  const RunPlan same = plan_within(curves, plan.steps);
  EXPECT_EQ(same.highest, plan.highest);
  EXPECT_NEAR(same.end, plan.end, 1e-12);
  const Proposal best = best_proposal(fit, same);
  const double ends = truth.loss(rates_of(best.shape, plan), plan.steps);
  for (const Proposal& usual : usual_proposals(fit, same))
    EXPECT_LE(ends, truth.loss(rates_of(usual.shape, plan), plan.steps) + 1e-3) << usual.shape.kind;
}

TEST(MultiPowerFit, ARunWithoutPointsAfterTheWarmUpIsRefused) {
  const std::vector<LossCurve> curves{made("cosine", 1, 0)};
  EXPECT_THROW(MultiPowerFit(curves, {.skip = 2950}), Error);
  EXPECT_THROW(MultiPowerFit({}, {}), Error);
}

TEST(RelaxationFit, FindsTheLawThatMadeTheRun) {
  const RelaxationLaw law{.floor = 2.5, .alpha = 60, .beta = 0.8, .start = 8};
  std::vector<LossCurve> curves;
  for (const char* kind : {"cosine", "exponential"}) {
    LossCurve curve = made(kind, 1, 0);
    std::vector<double> steps;
    for (const LossPoint& point : curve.points) steps.push_back(point.step);
    const std::vector<double> losses = law.losses(curve.rates, steps);
    for (size_t i = 0; i < losses.size(); ++i) curve.points[i].loss = losses[i];
    curves.push_back(std::move(curve));
  }
  const RelaxationLaw fitted = fit_relaxation(curves, {});
  EXPECT_NEAR(fitted.floor, law.floor, 0.02);
  EXPECT_NEAR(fitted.alpha, law.alpha, 3);
  EXPECT_NEAR(fitted.beta, law.beta, 0.03);
  for (const LossCurve& curve : curves) EXPECT_LT(error_of(fitted, curve, 50).mean, 2e-3);
}

TEST(ScheduleDrawing, ShowsRunsAndLaws) {
  const std::vector<LossCurve> curves{made("cosine", 1, 0.01), made("constant", 1, 0.01)};
  const std::string losses = draw_losses(curves, truth, {.floor = 2, .alpha = 60, .beta = 1, .start = 6}, 0);
  for (const char* text : {"cosine", "constant", "multi-power law", "relaxation law"})
    EXPECT_NE(losses.find(text), std::string::npos) << text;
  const std::string rates = draw_rates(curves, curves[0].rates, curves[1].rates);
  EXPECT_NE(rates.find("proposed"), std::string::npos);
}

// The public curves of the authors of the law (AVIARY_SHARED): fitted on three, tested on six.
class PublicCurves : public testing::TestWithParam<std::pair<const char*, double>> {};

TEST_P(PublicCurves, SixSchedulesArePredictedFromThreeRuns) {
  const auto [folder, most] = GetParam();
  const std::filesystem::path path = shared_file(std::string("data/loss-curves/") + folder);
  if (path.empty()) GTEST_SKIP() << "AVIARY_SHARED does not name a folder with the public loss curves";
  auto load = [&](const char* name) { return load_loss_curve(path / (std::string(name) + ".csv")); };
  const std::vector<LossCurve> curves{load("cosine_24000"), load("constant_24000"), load("wsdcon_9")};
  const MultiPowerFit fit(curves, {});
  double sum = 0;
  for (const char* name :
       {"constant_72000", "cosine_72000", "wsd_20000_24000", "wsdld_20000_24000", "wsdcon_3", "wsdcon_18"}) {
    const LossCurve curve = load(name);
    sum += error_of(fit.law(), curve, 0).mean;
    const LossPoint last = curve.points.back();
    const Prediction loss = fit.predict(curve.rates, last.step);
    EXPECT_LT(loss.low, last.loss) << name;
    EXPECT_GT(loss.high, last.loss) << name;
  }
  EXPECT_LE(sum / 6, most);
}

INSTANTIATE_TEST_SUITE_P(Sizes, PublicCurves,
                         testing::Values(std::pair("csv_25", 0.0012), std::pair("csv_100", 0.0015)));

}  // namespace
}  // namespace aviary
