// One row of a token shift, as its kernel sees it: pointers to the first elements.
#pragma once

#include "kernels/kernels.h"

namespace aviary::kernels {

struct ShiftRow {
  const float *x, *above;
  const float* mix[max_shift_outputs];
  const float* more[max_shift_outputs];
};

}  // namespace aviary::kernels
