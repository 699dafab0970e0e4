// Rounding activations for products with blocks of few bits.
#pragma once

#include "kernels/cpu/block_layout.h"

namespace aviary::kernels {

// Where one row goes; `group` and `middle` are those of the format.
struct RoundedRow {
  int8_t* codes;    // [k]
  float* scales;    // [k / 32]
  float* sums;      // [k / 32]
  int32_t* starts;  // [k / group]
};
// Every 32 numbers are divided by a 127th of the largest and rounded to the nearest integer. Numbers that are
// not finite make the scale so, and thereby every sum that they belong to.
void round_row(const float* x, int64_t k, int64_t group, int32_t middle, const RoundedRow& row);

}  // namespace aviary::kernels
