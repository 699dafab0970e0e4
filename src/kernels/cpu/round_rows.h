// Quantizes activations to 8 bits for products with block formats.
#pragma once

#include "kernels/cpu/block_layout.h"

namespace aviary::kernels {

// Every 32 numbers are divided by 1/127 of the largest magnitude and rounded to the nearest integer. Numbers
// that are not finite make the scale not finite, and thereby every sum that contains them. `group` and
// `middle` are those of the format; row: [k / 32].
void round_row(const float* x, int64_t k, int64_t group, int32_t middle, RoundedBlock* row);

}  // namespace aviary::kernels
