#include "schedule/fit.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace aviary {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr int unknowns = static_cast<int>(MultiPowerFit::parameters);

// What alpha, C, beta and gamma are drawn to: the mean of the values for models of 25, 100 and 400 million
// parameters in the authors' repository, with a standard deviation of the logarithm.
struct Prior {
  int at;
  double value, deviation;
};
constexpr Prior priors[] = {{2, 0.463, 0.35}, {4, 2.07, 1.0}, {5, 0.592, 0.35}, {6, 0.644, 0.35}};
// A deviation from the law lasts for many points: so many tell as much as one.
constexpr double dependent = 20;

struct UsedCurve {
  const RateCurve* rates;
  std::vector<double> steps, losses;
};

std::vector<UsedCurve> used_points(std::span<const LossCurve> curves, const FitOptions& options) {
  std::vector<UsedCurve> result;
  for (const LossCurve& curve : curves) {
    UsedCurve used{.rates = &curve.rates, .steps = {}, .losses = {}};
    for (const LossPoint& point : curve.thinned(first_used(curve, options.skip), options.most_points)) {
      used.steps.push_back(point.step);
      used.losses.push_back(point.loss);
    }
    require(used.steps.size() >= 10,
            "{}: {} points are left after the warm-up and the first {} steps, at least 10 are needed; skip "
            "fewer steps",
            curve.name, used.steps.size(), options.skip);
    result.push_back(std::move(used));
  }
  require(!result.empty(), "the fit of a schedule needs at least one run");
  return result;
}

int64_t count_of(std::span<const UsedCurve> curves) {
  size_t count = 0;
  for (const UsedCurve& curve : curves) count += curve.losses.size();
  return static_cast<int64_t>(count);
}

// The deviation of single points from a smooth curve, from second differences along the curves.
double noise_of(std::span<const UsedCurve> curves) {
  std::vector<double> bends;
  for (const UsedCurve& curve : curves)
    for (size_t i = 2; i < curve.losses.size(); ++i)
      bends.push_back(std::abs(
          std::log(curve.losses[i] * curve.losses[i - 2] / (curve.losses[i - 1] * curve.losses[i - 1]))));
  const auto middle = bends.begin() + std::ssize(bends) / 2;
  std::nth_element(bends.begin(), middle, bends.end());
  constexpr double deviations_of_a_median = 1.4826;
  return deviations_of_a_median / std::sqrt(6.0) * *middle;
}

MultiPowerLaw law_of(const VectorXd& logs) {
  const VectorXd values = logs.array().exp();
  return {.floor = values[0],
          .A = values[1],
          .alpha = values[2],
          .B = values[3],
          .C = values[4],
          .beta = values[5],
          .gamma = values[6]};
}

// log(predicted / measured) of all points.
VectorXd residuals_of(std::span<const UsedCurve> curves, const MultiPowerLaw& law) {
  VectorXd result(count_of(curves));
  int64_t at = 0;
  for (const UsedCurve& curve : curves) {
    const std::vector<double> losses = law.losses(*curve.rates, curve.steps);
    for (size_t i = 0; i < losses.size(); ++i)
      result[at++] = losses[i] > 0 ? std::log(losses[i] / curve.losses[i]) : 10.0;
  }
  return result;
}

// Huber's function of the residuals in units of `noise`, and the priors.
double cost(const VectorXd& residuals, const VectorXd& logs, double noise) {
  double sum = 0;
  for (const double residual : residuals) {
    const double size = std::abs(residual) / noise;
    sum += (size <= 1 ? size * size / 2 : size - 0.5) / dependent;
  }
  for (const Prior& prior : priors) {
    const double off = (logs[prior.at] - std::log(prior.value)) / prior.deviation;
    sum += off * off / 2;
  }
  return sum;
}

// The weighted least squares problem whose solution lowers the cost.
struct Normal {
  MatrixXd matrix;
  VectorXd right;
};

Normal normal_equations(std::span<const UsedCurve> curves, const VectorXd& logs, const VectorXd& residuals,
                        double noise) {
  constexpr double shift = 1e-5;
  MatrixXd jacobian(residuals.size(), unknowns);
  for (int i = 0; i < unknowns; ++i) {
    VectorXd moved = logs;
    moved[i] += shift;
    jacobian.col(i) = (residuals_of(curves, law_of(moved)) - residuals) / shift;
  }
  VectorXd weights(residuals.size());
  for (int64_t i = 0; i < residuals.size(); ++i)
    weights[i] = 1 / (dependent * noise * std::max(noise, std::abs(residuals[i])));
  Normal result{jacobian.transpose() * weights.asDiagonal() * jacobian,
                -(jacobian.transpose() * weights.asDiagonal() * residuals)};
  for (const Prior& prior : priors) {
    const double weight = 1 / (prior.deviation * prior.deviation);
    result.matrix(prior.at, prior.at) += weight;
    result.right[prior.at] -= weight * (logs[prior.at] - std::log(prior.value));
  }
  return result;
}

// Levenberg and Marquardt's method, with Huber's weights renewed in each step.
double minimize(std::span<const UsedCurve> curves, double noise, VectorXd& logs) {
  constexpr int most_steps = 60;
  double damping = 1e-2;
  VectorXd residuals = residuals_of(curves, law_of(logs));
  double value = cost(residuals, logs, noise);
  for (int step = 0; step < most_steps && damping < 1e8; ++step) {
    const Normal normal = normal_equations(curves, logs, residuals, noise);
    const double before = value;
    for (; damping < 1e8; damping *= 4) {
      MatrixXd damped = normal.matrix;
      damped.diagonal() *= 1 + damping;
      const VectorXd move = damped.ldlt().solve(normal.right).cwiseMax(-1.0).cwiseMin(1.0);
      const VectorXd next = logs + move;
      const VectorXd next_residuals = residuals_of(curves, law_of(next));
      const double next_value = cost(next_residuals, next, noise);
      if (!(next_value < value)) continue;
      logs = next;
      residuals = next_residuals;
      value = next_value;
      damping = std::max(damping / 8, 1e-9);
      break;
    }
    if (before - value < 1e-7 * value) break;
  }
  return value;
}

// Solves for floor, A and B with the other parameters as given, which then are linear: least squares of
// predicted / measured - 1.
VectorXd linear_start(std::span<const UsedCurve> curves, double alpha, double C, double gamma) {
  const double beta = priors[2].value;
  MatrixXd terms(count_of(curves), 3);
  double lowest = std::numeric_limits<double>::infinity();
  int64_t at = 0;
  for (const UsedCurve& curve : curves) {
    MultiPowerLaw law{.floor = 0, .A = 0, .alpha = alpha, .B = 1, .C = C, .beta = beta, .gamma = gamma};
    const std::vector<double> changes = law.losses(*curve.rates, curve.steps);
    for (size_t i = 0; i < changes.size(); ++i, ++at) {
      const double loss = curve.losses[i];
      lowest = std::min(lowest, loss);
      terms.row(at) << 1 / loss, std::pow(curve.rates->area(curve.steps[i]), -alpha) / loss,
          changes[i] / loss;
    }
  }
  VectorXd solved = terms.colPivHouseholderQr().solve(VectorXd::Ones(terms.rows()));
  solved[0] = std::clamp(solved[0], lowest / 10, lowest);
  const double highest = curves.front().rates->highest();
  for (int i : {1, 2}) solved[i] = std::max(solved[i], lowest / 100 / (i == 2 ? highest : 1));
  VectorXd logs(unknowns);
  logs << solved[0], solved[1], alpha, solved[2], C, beta, gamma;
  return logs.array().log();
}

// Both laws are integrated over the run, so they are asked for all points of it.
template <typename Law>
LawError law_error(const Law& law, const LossCurve& curve, double from_step) {
  LawError result;
  std::vector<double> steps;
  const std::vector<LossPoint> points = curve.smooth(0);
  for (const LossPoint& point : points) steps.push_back(point.step);
  const std::vector<double> losses = law.losses(curve.rates, steps);
  for (size_t i = 0; i < losses.size(); ++i) {
    if (steps[i] < from_step) continue;
    const double off = std::abs(losses[i] / points[i].loss - 1);
    result.mean += off;
    result.worst = std::max(result.worst, off);
    ++result.points;
  }
  if (result.points > 0) result.mean /= static_cast<double>(result.points);
  const size_t last = std::max<size_t>(1, points.size() / 20);
  for (size_t i = points.size() - last; i < points.size(); ++i) {
    result.last_loss += points[i].loss / static_cast<double>(last);
    result.last_predicted += losses[i] / static_cast<double>(last);
  }
  return result;
}

}  // namespace

double first_used(const LossCurve& curve, double skip) { return std::max(curve.rates.warm_up(), skip); }

MultiPowerFit::MultiPowerFit(std::span<const LossCurve> curves, const FitOptions& options) {
  const std::vector<UsedCurve> used = used_points(curves, options);
  const double single = noise_of(used), noise = std::max(1e-3, single);
  VectorXd best;
  double best_value = std::numeric_limits<double>::infinity();
  for (const double gamma : {0.3, priors[3].value}) {
    for (const double C : {priors[1].value, 10 * priors[1].value}) {
      VectorXd start;
      double start_value = std::numeric_limits<double>::infinity();
      for (const double alpha : {0.15, 0.25, 0.35, 0.45, 0.55, 0.7, 0.9}) {
        const VectorXd logs = linear_start(used, alpha, C, gamma);
        const double value = cost(residuals_of(used, law_of(logs)), logs, noise);
        if (value < start_value) start = logs, start_value = value;
      }
      const double value = minimize(used, noise, start);
      if (value < best_value) best = start, best_value = value;
    }
  }
  law_ = law_of(best);
  const VectorXd residuals = residuals_of(used, law_);
  const double off = residuals.squaredNorm() / static_cast<double>(residuals.size());
  deviation_ = std::sqrt(std::max(off - single * single, 0.0));
  const MatrixXd covariance = normal_equations(used, best, residuals, noise)
                                  .matrix.ldlt()
                                  .solve(MatrixXd::Identity(unknowns, unknowns));
  std::copy_n(covariance.data(), covariance_.size(), covariance_.begin());
}

Prediction MultiPowerFit::predict(const RateCurve& rates, double step) const {
  constexpr double shift = 1e-4, two_sided = 1.96, wrong_law = 2.5;
  const double value = law_.loss(rates, step);
  VectorXd logs(unknowns);
  logs << law_.floor, law_.A, law_.alpha, law_.B, law_.C, law_.beta, law_.gamma;
  logs = logs.array().log();
  VectorXd slope(unknowns);
  for (int i = 0; i < unknowns; ++i) {
    VectorXd moved = logs;
    moved[i] += shift;
    slope[i] = std::log(law_of(moved).loss(rates, step) / value) / shift;
  }
  const Eigen::Map<const MatrixXd> covariance(covariance_.data(), unknowns, unknowns);
  const double variance = slope.dot(covariance * slope) + deviation_ * deviation_;
  const double width = wrong_law * two_sided * std::sqrt(std::max(variance, 0.0));
  return {value, value * std::exp(-width), value * std::exp(width)};
}

RelaxationLaw fit_relaxation(std::span<const LossCurve> curves, const FitOptions& options) {
  const std::vector<UsedCurve> used = used_points(curves, options);
  double longest = 0;
  for (const UsedCurve& curve : used) longest = std::max(longest, curve.rates->area(curve.steps.back()));
  auto solve = [&](double beta, RelaxationLaw& law) {
    MatrixXd terms(count_of(used), 3);
    int64_t at = 0;
    for (const UsedCurve& curve : used) {
      const RelaxationLaw of_rate{.floor = 0, .alpha = 1, .beta = beta};
      const std::vector<double> rates = of_rate.losses(*curve.rates, curve.steps);
      for (size_t i = 0; i < rates.size(); ++i, ++at) {
        const double left = std::exp(-beta * curve.rates->area(curve.steps[i]));
        terms.row(at) << 1 - left, rates[i], left;
        terms.row(at) /= curve.losses[i];
      }
    }
    const VectorXd ones = VectorXd::Ones(terms.rows()), solved = terms.colPivHouseholderQr().solve(ones);
    law = {.floor = solved[0], .alpha = solved[1], .beta = beta, .start = solved[2]};
    return (terms * solved - ones).squaredNorm();
  };
  RelaxationLaw law, best;
  double least = std::numeric_limits<double>::infinity();
  for (double times = 0.5; times < 500; times *= 1.02) {
    const double value = solve(times / longest, law);
    if (value < least) least = value, best = law;
  }
  return best;
}

LawError error_of(const MultiPowerLaw& law, const LossCurve& curve, double from_step) {
  return law_error(law, curve, from_step);
}
LawError error_of(const RelaxationLaw& law, const LossCurve& curve, double from_step) {
  return law_error(law, curve, from_step);
}

}  // namespace aviary
