// Quantizes activations to 8 bits for products with block formats.
#pragma once

#include "kernels/cpu/block_layout.h"

namespace aviary::kernels {

// The result for one row; `group` and `middle` are those of the format.
struct RoundedRow {
  int8_t* codes;    // [k]
  float* scales;    // [k / 32]
  float* sums;      // [k / 32]
  int32_t* starts;  // [k / group]
};
// Every 32 numbers are divided by 1/127 of the largest magnitude and rounded to the nearest integer. Numbers
// that are not finite make the scale not finite, and thereby every sum that contains them.
void round_row(const float* x, int64_t k, int64_t group, int32_t middle, const RoundedRow& row);

}  // namespace aviary::kernels
