// The minimization behind fit_logistic (embed/logistic.h), for dense and for sparse rows. Includes Eigen, so
// only files that are compiled once include it.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <span>
#include <utility>
#include <vector>

namespace aviary {

using DenseRows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Mean cross entropy of softmax(W^T x + b), and L-BFGS. x: a matrix [N, D] of floats of Eigen, dense or
// sparse. The unknowns are one vector: W [D, K], then b [K].
template <typename Matrix>
class LogisticLoss {
 public:
  using Vector = Eigen::VectorXd;

  LogisticLoss(const Matrix& x, std::span<const int32_t> y, int64_t classes)
      : x_(x), y_(y), classes_(classes) {}

  int64_t size() const { return (x_.cols() + 1) * classes_; }

  // The loss with penalty / 2 times the sum of the squares of W, and its gradient.
  double operator()(const Vector& at, double penalty, Vector& gradient) {
    using Weights = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const int64_t D = x_.cols(), K = classes_, N = x_.rows();
    const DenseRows weights = Eigen::Map<const Weights>(at.data(), D, K).template cast<float>();
    p_.noalias() = x_ * weights;
    double loss = 0;
    Vector of_bias = Vector::Zero(K), row(K);
    for (int64_t n = 0; n < N; ++n) {
      const auto target = y_[static_cast<size_t>(n)];
      row = p_.row(n).template cast<double>().transpose() + at.tail(K);
      const double top = row.maxCoeff(), wanted = row(target);
      row = (row.array() - top).exp();
      const double sum = row.sum();
      loss += std::log(sum) + top - wanted;
      row /= sum;
      row(target) -= 1;
      of_bias += row;
      p_.row(n) = row.transpose().template cast<float>();
    }
    of_weights_.noalias() = x_.transpose() * p_;
    const auto count = static_cast<double>(N);
    gradient.resize(size());
    gradient.head(D * K) =
        Eigen::Map<const Eigen::VectorXf>(of_weights_.data(), D * K).template cast<double>() / count +
        penalty * at.head(D * K);
    gradient.tail(K) = of_bias / count;
    return loss / count + penalty / 2 * at.head(D * K).squaredNorm();
  }

  // Moves `at` to the minimum.
  void minimize(double penalty, Vector& at) {
    constexpr int most_steps = 300;
    constexpr size_t remembered = 10;
    constexpr double small_gradient = 1e-4, small_progress = 1e-7;
    Vector gradient;
    double value = (*this)(at, penalty, gradient);
    std::deque<Change> changes;
    for (int step = 0; step < most_steps && gradient.template lpNorm<Eigen::Infinity>() > small_gradient;
         ++step) {
      Vector direction = direction_of(changes, gradient);
      if (!(direction.dot(gradient) < 0)) {
        direction = -gradient;
        changes.clear();
      }
      const double first = changes.empty() ? std::min(1.0, 1 / gradient.norm()) : 1.0;
      const double before = value;
      if (!descend(penalty, direction, first, at, gradient, value, changes)) break;  // rounding ends it
      if (changes.size() > remembered) changes.pop_front();
      if (before - value < small_progress * std::abs(value)) break;
    }
  }

 private:
  // How a step changed the point and the gradient.
  struct Change {
    Vector point, gradient;
  };

  // Minus an estimate of the inverse second derivative times the gradient.
  static Vector direction_of(const std::deque<Change>& changes, const Vector& gradient) {
    Vector d = -gradient;
    std::vector<double> shares;
    for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
      shares.push_back(change->point.dot(d) / change->point.dot(change->gradient));
      d -= shares.back() * change->gradient;
    }
    if (!changes.empty())
      d *= changes.back().point.dot(changes.back().gradient) / changes.back().gradient.squaredNorm();
    for (const Change& change : changes) {
      const double share = change.gradient.dot(d) / change.point.dot(change.gradient);
      d += (shares.back() - share) * change.point;
      shares.pop_back();
    }
    return d;
  }

  // One step along the direction, halved until the value falls enough; false if it never does.
  bool descend(double penalty, const Vector& direction, double length, Vector& at, Vector& gradient,
               double& value, std::deque<Change>& changes) {
    constexpr int most_halvings = 20;
    constexpr double sufficient = 1e-4, least_curvature = 1e-12;
    const double slope = direction.dot(gradient);
    for (int halvings = 0; halvings < most_halvings; ++halvings, length /= 2) {
      Vector point = at + length * direction, next_gradient;
      const double next = (*this)(point, penalty, next_gradient);
      if (!(next <= value + sufficient * length * slope)) continue;
      Change change{point - at, next_gradient - gradient};
      if (change.point.dot(change.gradient) > least_curvature * change.gradient.squaredNorm())
        changes.push_back(std::move(change));
      at.swap(point);
      gradient.swap(next_gradient);
      value = next;
      return true;
    }
    return false;
  }

  const Matrix& x_;
  std::span<const int32_t> y_;
  int64_t classes_;
  DenseRows p_, of_weights_;
};

}  // namespace aviary
