// The loss by position in the context, in bins that become longer: so it is drawn.
#pragma once

#include "eval/evaluate.h"

namespace aviary {

struct PositionBin {
  double tokens = 0;  // of context: the middle, on a logarithmic axis
  double loss = 0;    // nats per token, mean
};

// context: the trained length; no bin contains positions on both sides of it.
std::vector<PositionBin> bins_of(const PositionLoss& loss, int64_t context);

}  // namespace aviary
