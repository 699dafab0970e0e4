// One head of one sequence, for the kernel of RWKV-1.
#pragma once

#include <cstdint>

namespace aviary::kernels {

struct Wkv1Head {
  int64_t rows;       // of the step
  int64_t first;      // position of the first of them
  int64_t n, stride;  // columns; row stride of k, v and y
  const float *k, *v;
  const float *curve, *alpha, *beta;  // time weights: by distance, by positions
  int64_t count() const { return first + rows; }
};

}  // namespace aviary::kernels
