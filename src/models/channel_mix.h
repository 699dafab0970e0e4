// Channel mixing of RWKV-2 to 6: sigmoid(W_r x_r) times W_v relu(W_k x_k)^2. Only the names and initial
// values of its parameters differ between the versions.
#pragma once

#include "models/registry.h"

namespace aviary {

struct ChannelMix {
  Weight &mix_k, &mix_r;             // [1, 1, C]
  Weight &key, &receptance, &value;  // [F, C], [C, C], [C, F]
  size_t x_state;
  Branch branch = Branch::ffn;  // of the block that it belongs to
};

// x [N, C] is the normalized input of the layer. more: added to mix_k and mix_r for each row, for versions
// that have it.
inline Var channel_mix(Context& c, ChannelMix& p, TokenShift shift, const Var& x, const Var& residual,
                       std::span<Var> state, std::span<const Var> more = {}) {
  auto [xk, xr] = token_shift_mix<2>(c, x, state[p.x_state], shift, {&p.mix_k, &p.mix_r}, more);
  auto [k, r] = linear_each<2>(c, {xk, xr}, {&p.key, &p.receptance});  // [N, F], [N, C]
  Var v = linear(c, activate(c, Activation::relu_squared, k), p.value);
  return residual_gate(c, p.branch, residual, r, v);
}

}  // namespace aviary
