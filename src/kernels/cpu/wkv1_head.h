// One head of one sequence, as the kernel of RWKV-1 sees it.
#pragma once

#include <cstdint>

namespace aviary::kernels {

struct Wkv1Head {
  int64_t rows;       // of the step
  int64_t first;      // position of the first of them
  int64_t n, stride;  // columns; from row to row of k, v and y
  const float *k, *v;
  const float *curve, *alpha, *beta;  // weights of time: by distance, and by position of either token
  int64_t count() const { return first + rows; }
};

}  // namespace aviary::kernels
