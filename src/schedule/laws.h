// Laws that tell the loss of a run from its learning rates: how training would go with another schedule.
#pragma once

#include <span>
#include <vector>

#include "schedule/rates.h"

namespace aviary {

// Rates of a curve as pieces that change, for the multi-power law. `area` is RateCurve::area.
struct RateChange {
  double change = 0;                    // of the rate
  double rate = 0;                      // in the middle; after a jump
  double area_begin = 0, area_end = 0;  // equal for a jump
};
// The changes up to a step; pieces are so short that a rate changes by at most about an eighth in one.
std::vector<RateChange> changes_of(const RateCurve& rates, double up_to);

// The multi-power law (Luo et al. 2025, arXiv 2503.12811, eq. 1): the loss after the rates eta_1 .. eta_t is
//   floor + A S(t)^-alpha + B sum_k (eta_k - eta_{k-1}) G(eta_k^-gamma (S(t) - S(k-1))),
//   G(x) = 1 - (1 + C x)^-beta,  S(t) = sum of the rates up to t.
// The sum is taken over straight pieces of the curve, in each of which eta_k^-gamma is constant.
struct MultiPowerLaw {
  double floor = 0, A = 0, alpha = 0, B = 0, C = 0, beta = 0, gamma = 0;

  // The losses at steps of a run, which must have learned something before the first of them.
  std::vector<double> losses(const RateCurve& rates, std::span<const double> steps) const;
  double loss(const RateCurve& rates, double step) const;
};

// The law of Peng Bo's drawing of April 2022 (RWKV-LM, Research/better_lr_schedule.png): for each rate eta
// there is a limit floor + alpha eta, and a step moves the loss towards it:
//   loss += -beta eta (loss - floor - alpha eta).
struct RelaxationLaw {
  double floor = 0, alpha = 0, beta = 0;
  double start = 0;  // the loss before the first step; what it would be, if the first part was not fitted

  // The losses at steps of a run, in order and close together: between two of them the rate is constant.
  std::vector<double> losses(const RateCurve& rates, std::span<const double> steps) const;
  // The rate that lowers the loss fastest, t steps after it was `loss`; following it is the best schedule:
  //   eta = 2 x / (beta x t + 4 alpha), with x = loss - floor.
  double best_rate(double loss, double t) const;
};

}  // namespace aviary
