#include "eval/paired.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/random.h"

namespace aviary {

PairedComparison paired_bootstrap(std::span<const double> differences, int64_t resamples, uint64_t seed) {
  const int64_t count = std::ssize(differences);
  require(count >= 2 && resamples >= 100,
          "a paired comparison of {} items by {} resamples, expected at least 2 and 100", count, resamples);
  PairedComparison result;
  for (const double difference : differences) result.mean += difference / static_cast<double>(count);
  // The means of samples vary less than the items by (n - 1) / n; without this, p would be too low for few
  // items.
  const double wider = std::sqrt(static_cast<double>(count) / static_cast<double>(count - 1));
  Random random(seed);
  std::vector<double> means;
  int64_t as_far = 1;
  for (int64_t i = 0; i < resamples; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < count; ++j) sum += differences[static_cast<size_t>(random.below(count))];
    const double off = (sum / static_cast<double>(count) - result.mean) * wider;
    means.push_back(result.mean + off);
    as_far += std::abs(off) >= std::abs(result.mean) * (1 - 1e-12);
  }
  std::sort(means.begin(), means.end());
  auto percentile = [&](double share) {
    return means[static_cast<size_t>(share * static_cast<double>(resamples - 1))];
  };
  result.low = percentile(0.025);
  result.high = percentile(0.975);
  result.p = std::min(1.0, static_cast<double>(as_far) / static_cast<double>(resamples + 1));
  return result;
}

double mcnemar(int64_t only_first, int64_t only_second) {
  const int64_t all = only_first + only_second, fewer = std::min(only_first, only_second);
  double sum = 0;  // of C(all, k) / 2^all for k <= fewer
  for (int64_t k = 0; k <= fewer; ++k) {
    const auto n = static_cast<double>(all), i = static_cast<double>(k);
    sum += std::exp(std::lgamma(n + 1) - std::lgamma(i + 1) - std::lgamma(n - i + 1) - n * std::log(2.0));
  }
  return std::min(1.0, 2 * sum);
}

}  // namespace aviary
