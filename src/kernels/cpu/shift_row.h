// One row of a token shift, for its kernel: pointers to the first elements.
#pragma once

#include "kernels/kernels.h"

namespace aviary::kernels {

struct ShiftRow {
  const float *x, *above;
  const float* mix[max_shift_outputs];
  const float* more[max_shift_outputs];
};

}  // namespace aviary::kernels
