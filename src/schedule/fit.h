// Fits the laws of a learning rate schedule (schedule/laws.h) to the losses of runs.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "schedule/laws.h"
#include "schedule/loss_curve.h"

namespace aviary {

struct FitOptions {
  double skip = 0;           // points before this step are not used; nor are those of the warm-up
  size_t most_points = 160;  // of one run; more are averaged in groups
};

// A value with an interval that should hold it in 19 of 20 cases.
struct Prediction {
  double value = 0, low = 0, high = 0;
};

class MultiPowerFit {
 public:
  static constexpr size_t parameters = 7;

  // Minimizes the sum of Huber's function of the logarithm of predicted / measured, whose bend is at 1e-3, or
  // at the noise of the points if they have more. alpha, C, beta and gamma are
  // drawn weakly to the values that the law's authors found for three sizes of model, so that one run, which
  // tells little of them, is enough for a result. Throws Error if no points remain after the skipped
  // steps.
  MultiPowerFit(std::span<const LossCurve> curves, const FitOptions& options);

  const MultiPowerLaw& law() const { return law_; }
  // The loss after `step` steps. The interval consists of how well the parameters are known, from the
  // curvature at the minimum, and of how far the fitted points lie from the law; two
  // and a half times that, since where no run was, the law itself is wrong: so the intervals hold the last
  // losses of all 12 public curves that were not fitted, intervals without that factor of 8.
  Prediction predict(const RateCurve& rates, double step) const;

 private:
  MultiPowerLaw law_;
  std::array<double, parameters * parameters> covariance_{};  // of the logarithms of the parameters
  double deviation_ = 0;  // of log(predicted / measured), without the noise of single points
};

// Fits the relaxation law by least squares of predicted / measured - 1: for a given beta the loss is linear
// in the other three numbers. Throws the Error of MultiPowerFit.
RelaxationLaw fit_relaxation(std::span<const LossCurve> curves, const FitOptions& options);

// How far a law is from the measured losses of a run (LossCurve::smooth), from a step on.
struct LawError {
  double mean = 0, worst = 0;  // of |predicted / measured - 1|
  int64_t points = 0;
  // Means over the last twentieth of the points.
  double last_loss = 0, last_predicted = 0;
};
LawError error_of(const MultiPowerLaw& law, const LossCurve& curve, double from_step);
LawError error_of(const RelaxationLaw& law, const LossCurve& curve, double from_step);

// The first step that is used of a run.
double first_used(const LossCurve& curve, double skip);

}  // namespace aviary
