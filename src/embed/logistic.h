// Multinomial logistic regression: the probabilities of classes from a vector, by softmax(W x + b).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace aviary {

struct LogisticModel {
  int64_t classes = 0;
  std::vector<float> weights, bias;  // [classes, D], [classes]

  // x [D] -> [classes], which sum to 1.
  std::vector<double> probabilities(std::span<const float> x) const;
};

// Fits rows x [N, D] of classes y [N]: minimizes the mean cross entropy plus penalty / 2 times the sum of the
// squared weights (not of b), by L-BFGS (Liu and Nocedal 1989) from zero, for each of `penalties` in turn,
// each starting from the solution before; fastest from the largest to the smallest. On one thread, always
// with the same result.
std::vector<LogisticModel> fit_logistic(const std::vector<float>& x, std::span<const int32_t> y,
                                        int64_t classes, std::span<const double> penalties);

}  // namespace aviary
