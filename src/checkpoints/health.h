// Is a file of tensors sound? What its numbers tell without running the model.
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
  // How far the farthest number lies from the mean, in deviations; about 5 for normal numbers.
  double reach() const;
};

// Memory stays bounded whatever the tensor's size.
TensorStatistics statistics_of(const TensorEntry& tensor);
// The same for every tensor of a file, on all cores.
std::vector<TensorStatistics> statistics_of(const TensorFile& file);

struct Health {
  std::vector<std::string> problems;  // the model is broken or not trained; a sentence each
  std::vector<std::string> notes;     // what to know, for example before quantizing
};

// NaN and infinities, constant matrices, numbers far from all others. `statistics` as statistics_of(file)
// gives them.
Health health_of(const TensorFile& file, const std::vector<TensorStatistics>& statistics);

}  // namespace aviary
