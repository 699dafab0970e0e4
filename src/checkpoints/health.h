// Checks the numbers in a file of tensors without running the model.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "formats/tensor_file.h"

namespace aviary {

struct TensorStatistics {
  int64_t count = 0;   // of finite numbers
  int64_t broken = 0;  // NaN or infinite
  double smallest = INFINITY, largest = -INFINITY, mean = 0, deviation = 0;

  bool constant() const { return count > 0 && smallest == largest; }
  // The largest distance of a number from the mean, in deviations; about 5 for normally distributed numbers.
  double reach() const;
};

// Uses bounded memory for tensors of any size.
TensorStatistics statistics_of(const TensorEntry& tensor);
// The same for every tensor of a file, on all cores.
std::vector<TensorStatistics> statistics_of(const TensorFile& file);

struct Health {
  std::vector<std::string> problems;  // the model is broken or not trained; a sentence each
  std::vector<std::string> notes;     // useful information, for example before quantizing
};

// Reports NaN and infinities, constant matrices, and outliers. `statistics`: the result of
// statistics_of(file).
Health health_of(const TensorFile& file, const std::vector<TensorStatistics>& statistics);

}  // namespace aviary
