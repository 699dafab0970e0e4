#include "embed/logistic.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "embed/minimize.h"

namespace aviary {

std::vector<double> LogisticModel::probabilities(std::span<const float> x) const {
  std::vector<double> result(bias.begin(), bias.end());
  for (size_t k = 0; k < result.size(); ++k)
    for (size_t i = 0; i < x.size(); ++i)
      result[k] += static_cast<double>(weights[k * x.size() + i]) * static_cast<double>(x[i]);
  const double top = *std::ranges::max_element(result);
  double sum = 0;
  for (double& p : result) sum += p = std::exp(p - top);
  for (double& p : result) p /= sum;
  return result;
}

std::vector<LogisticModel> fit_logistic(const std::vector<float>& x, std::span<const int32_t> y,
                                        int64_t classes, std::span<const double> penalties) {
  assert(!y.empty() && x.size() % y.size() == 0);
  const Eigen::Map<const DenseRows> rows(x.data(), std::ssize(y), std::ssize(x) / std::ssize(y));
  LogisticLoss<Eigen::Map<const DenseRows>> loss(rows, y, classes);
  const int64_t D = std::ssize(x) / std::ssize(y);
  Eigen::VectorXd at = Eigen::VectorXd::Zero(loss.size());
  std::vector<LogisticModel> models;
  for (const double penalty : penalties) {
    loss.minimize(penalty, at);
    LogisticModel& model = models.emplace_back(LogisticModel{classes, {}, {}});
    for (int64_t k = 0; k < classes; ++k) {
      for (int64_t i = 0; i < D; ++i) model.weights.push_back(static_cast<float>(at(i * classes + k)));
      model.bias.push_back(static_cast<float>(at(D * classes + k)));
    }
  }
  return models;
}

}  // namespace aviary
