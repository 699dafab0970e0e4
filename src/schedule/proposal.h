// What a fitted law says of schedules that have not been tried.
#pragma once

#include <string>
#include <vector>

#include "schedule/fit.h"

namespace aviary {

// How the rate falls after the warm-up: the names of --schedule and --cooldown of aviary train.
struct RateShape {
  std::string kind = "cosine";  // constant, linear, cosine, exponential, sqrt, power
  double cooldown = 1;          // the share at the end of the steps after the warm-up in which it falls
};

struct RunPlan {
  double steps = 0, warm_up = 0;
  double highest = 0, end = 0;  // rates; constant ignores `end`
};

// Of 64 or so straight pieces. Throws Error for an unknown kind, and unless 0 < end <= highest and
// warm_up < steps.
RateCurve rates_of(const RateShape& shape, const RunPlan& plan);

struct Proposal {
  RateShape shape;
  Prediction loss;  // at the end
};

// The loss at the end with each kind over the whole run.
std::vector<Proposal> usual_proposals(const MultiPowerFit& fit, const RunPlan& plan);
// The kind and cooldown with the lowest predicted loss; cooldowns are multiples of 0.1.
Proposal best_proposal(const MultiPowerFit& fit, const RunPlan& plan);

// A plan with the highest and the lowest rate of these runs, and the first one's warm-up: what lies outside
// of them, the law has not seen.
RunPlan plan_within(std::span<const LossCurve> curves, double steps);

// The best schedule by the relaxation law, in closed form (RelaxationLaw::best_rate), from `first_step` to
// the end of a run that has the loss `loss` there. Rates above `highest` are cut off.
RateCurve best_rates(const RelaxationLaw& law, double loss, double first_step, double steps, double highest);

}  // namespace aviary
