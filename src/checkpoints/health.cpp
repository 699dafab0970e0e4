#include "checkpoints/health.h"

#include <algorithm>

#include "base/error.h"
#include "base/human.h"
#include "base/threads.h"
#include "numbers/encoding.h"

namespace aviary {
namespace {

constexpr int64_t piece = 1 << 16;         // numbers processed together; whole blocks of every type
constexpr double far_in_deviations = 200;  // trained models have outliers of up to about 100 deviations

}  // namespace

double TensorStatistics::reach() const {
  return deviation > 0 ? std::max(largest - mean, mean - smallest) / deviation : 0;
}

TensorStatistics statistics_of(const TensorEntry& tensor) {
  TensorStatistics result;
  double squares = 0;  // of the distances to the mean so far (Welford 1962, in pieces: Chan 1979)
  std::vector<double> numbers;
  const int64_t count = count_of(tensor);
  for (int64_t begin = 0; begin < count; begin += piece) {
    numbers.resize(static_cast<size_t>(std::min(piece, count - begin)));
    decode(tensor.dtype, tensor.data.data() + bytes_of(tensor.dtype, begin), std::span(numbers));
    const auto finite =
        std::partition(numbers.begin(), numbers.end(), [](double x) { return std::isfinite(x); });
    result.broken += numbers.end() - finite;
    const int64_t good = finite - numbers.begin();
    if (good == 0) continue;
    double sum = 0, distances = 0;
    for (auto x = numbers.begin(); x != finite; ++x) {
      sum += *x;
      result.smallest = std::min(result.smallest, *x);
      result.largest = std::max(result.largest, *x);
    }
    const double mean = sum / static_cast<double>(good);
    for (auto x = numbers.begin(); x != finite; ++x) distances += (*x - mean) * (*x - mean);
    const double before = static_cast<double>(result.count), now = static_cast<double>(good);
    const double step = mean - result.mean;
    squares += distances + step * step * before * now / (before + now);
    result.mean += step * now / (before + now);
    result.count += good;
  }
  if (result.count > 0) result.deviation = std::sqrt(squares / static_cast<double>(result.count));
  return result;
}

std::vector<TensorStatistics> statistics_of(const TensorFile& file) {
  std::vector<TensorStatistics> all(file.tensors().size());
  parallel_for(std::ssize(all), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const size_t at = static_cast<size_t>(i);
      all[at] = statistics_of(file.tensors()[at]);
    }
  });
  return all;
}

Health health_of(const TensorFile& file, const std::vector<TensorStatistics>& statistics) {
  Health health;
  for (size_t i = 0; i < statistics.size(); ++i) {
    const TensorEntry& tensor = file.tensors()[i];
    const TensorStatistics& numbers = statistics[i];
    if (numbers.broken > 0) {
      health.problems.push_back(fmt::format("{} holds NaN or infinity ({} of its {} numbers)", tensor.name,
                                            with_commas(numbers.broken),
                                            with_commas(numbers.broken + numbers.count)));
    } else if (is_matrix(tensor) && numbers.constant()) {
      health.problems.push_back(fmt::format("{} is {} everywhere: untrained", tensor.name, numbers.smallest));
    } else if (is_matrix(tensor) && numbers.reach() > far_in_deviations) {
      health.notes.push_back(
          fmt::format("{} reaches {:.0f} standard deviations from its mean: a quantized type will lose much "
                      "of its precision",
                      tensor.name, numbers.reach()));
    }
  }
  return health;
}

}  // namespace aviary
