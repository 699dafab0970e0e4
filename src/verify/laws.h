// Laws, properties that every model must satisfy: however its input is split, the result is the same.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "models/run.h"

namespace aviary {

struct LawCheck {
  std::string what;
  double difference;  // the largest one; what is not finite does not pass
  double tolerance;
  bool passed() const { return std::isfinite(tolerance) && difference <= tolerance; }
};

// The split law: one pass over `length` random tokens = a random split of it into chunks = token by token =
// in a batch with other sequences = on another number of threads; of a model that is not causal (Reads), the
// last two. Compares all logits and the last state. Tolerances: 1e-4 in float32 (0 for batches and threads),
// scaled by the largest logit if it is above 1; 1e-9 in double precision, 0.02 for quantized weights.
std::vector<LawCheck> check_split_law(Runner& runner, int64_t length, uint64_t seed);

}  // namespace aviary
