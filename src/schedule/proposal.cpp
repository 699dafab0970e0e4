#include "schedule/proposal.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/quotes.h"

namespace aviary {
namespace {

constexpr int pieces = 64;
constexpr std::string_view kinds[] = {"constant", "linear", "cosine", "exponential", "sqrt", "power"};

// The rate when the share `done` of the cooldown is done.
double falling(const std::string& kind, double done, double highest, double end) {
  auto between = [&](double left) { return end + (highest - end) * left; };
  if (kind == "constant") return highest;
  if (kind == "linear") return between(1 - done);
  if (kind == "cosine") return between(0.5 + 0.5 * std::cos(std::numbers::pi * done));
  if (kind == "exponential") return highest * std::pow(end / highest, done);
  if (kind == "sqrt") return between(1 - std::sqrt(done));
  if (kind == "power") return between(std::pow(1 - done, 1.5));
  fail("unknown schedule {}; known are constant, linear, cosine, exponential, sqrt, power", in_quotes(kind));
}

}  // namespace

RateCurve rates_of(const RateShape& shape, const RunPlan& plan) {
  require(plan.end > 0 && plan.end <= plan.highest && plan.warm_up >= 0 && plan.warm_up < plan.steps,
          "schedule: rates from {} to {} and a warm-up of {} of {} steps, expected 0 < end <= highest and a "
          "warm-up shorter than the run",
          plan.highest, plan.end, plan.warm_up, plan.steps);
  std::vector<RatePoint> points{{plan.warm_up, plan.highest}};
  const double first = plan.warm_up + (1 - shape.cooldown) * (plan.steps - plan.warm_up);
  for (int i = 0; i <= pieces; ++i) {
    const double done = static_cast<double>(i) / pieces;
    points.push_back(
        {first + done * (plan.steps - first), falling(shape.kind, done, plan.highest, plan.end)});
  }
  return RateCurve(std::move(points));
}

std::vector<Proposal> usual_proposals(const MultiPowerFit& fit, const RunPlan& plan) {
  std::vector<Proposal> result;
  for (const std::string_view kind : kinds) {
    const RateShape shape{.kind = std::string(kind)};
    result.push_back({shape, fit.predict(rates_of(shape, plan), plan.steps)});
  }
  return result;
}

Proposal best_proposal(const MultiPowerFit& fit, const RunPlan& plan) {
  RateShape best;
  double least = std::numeric_limits<double>::infinity();
  for (const std::string_view kind : kinds) {
    for (int tenths = 1; tenths <= 10; ++tenths) {
      const RateShape shape{.kind = std::string(kind), .cooldown = tenths / 10.0};
      const double loss = fit.law().loss(rates_of(shape, plan), plan.steps);
      if (loss < least) least = loss, best = shape;
    }
  }
  return {best, fit.predict(rates_of(best, plan), plan.steps)};
}

RunPlan plan_within(std::span<const LossCurve> curves, double steps) {
  require(!curves.empty(), "schedule: a plan needs at least one run");
  RunPlan plan{.steps = steps, .warm_up = curves.front().rates.warm_up()};
  double lowest = std::numeric_limits<double>::infinity();
  for (const LossCurve& curve : curves) {
    plan.highest = std::max(plan.highest, curve.rates.highest());
    for (const RatePoint& point : curve.rates.points())
      if (point.step >= curve.rates.warm_up() && point.rate > 0) lowest = std::min(lowest, point.rate);
  }
  plan.end = lowest;
  plan.warm_up = std::min(plan.warm_up, steps / 5);
  return plan;
}

RateCurve best_rates(const RelaxationLaw& law, double loss, double first_step, double steps, double highest) {
  std::vector<RatePoint> points;
  for (int i = 0; i <= pieces; ++i) {
    const double t = (steps - first_step) * i / pieces;
    points.push_back({first_step + t, std::clamp(law.best_rate(loss, t), 0.0, highest)});
  }
  return RateCurve(std::move(points));
}

}  // namespace aviary
