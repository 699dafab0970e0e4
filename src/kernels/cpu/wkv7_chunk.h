// The recurrence of RWKV-7 for training, wkv_chunk rows at a time as matrix products.
#pragma once

#include "kernels/kernels.h"

namespace aviary::kernels {

inline constexpr float wkv7_decay_scale = -0.6065306597126334f;  // -exp(-1/2)

// At most wkv_chunk tokens of one head, from the state [n, n] before them. Pointers are at the first element
// of the head, rows are `stride` apart. dstate [n, n]: gradient of the state after the tokens on entry, of
// that before them on return. `memory` has room for wkv7_chunk_memory(n) floats.
void wkv7_chunk_backward(int64_t tokens, int64_t n, int64_t stride, const Wkv7Inputs& in, const float* state,
                         const float* dy, const Wkv7Gradients& g, float* dstate, float* memory);
int64_t wkv7_chunk_memory(int64_t n);

}  // namespace aviary::kernels
