// MishGLU, an optional replacement for channel mixing in RWKV-4: W_v (W_a x_a * mish(W_b x_b)). RWKV-LM,
// RWKV-v4neo; gated linear units are from Shazeer 2020, arXiv 2002.05202, mish from Misra 2019, arXiv
// 1908.08681.
#pragma once

#include "models/block_table.h"

namespace aviary {

namespace option {
inline constexpr ModelOption mish_glu{.name = "mish_glu",
                                      .help = "Channel mixing is gated by mish instead of a receptance"};
}  // namespace option

struct MishGlu {
  Weight &time_mix_k, &time_mix_r;  // [1, 1, C]
  Weight &aa, &bb, &value;          // [F, C], [F, C], [C, F]
  size_t x_state;
};

inline Var mish_glu(Context& c, MishGlu& p, TokenShift shift, const Var& x, const Var& residual,
                    std::span<Var> state) {
  auto [xa, xb] = token_shift_mix<2>(c, x, state[p.x_state], shift, {&p.time_mix_k, &p.time_mix_r});
  Var a = linear(c, xa, p.aa);  // [N, F]
  Var b = activate(c, Activation::mish, linear(c, xb, p.bb));
  return residual_linear(c, Branch::ffn, residual, mul(c, a, b), p.value);
}

inline MishGlu add_mish_glu(BlockTable& table) {
  const int64_t C = table.config().n_embd, F = table.config().dim_ffn;
  return {
      .time_mix_k = table.mix("ffn.time_mix_k", table.rest()),
      .time_mix_r = table.mix("ffn.time_mix_r", table.rest()),
      .aa = table.matrix("ffn.aa", F, C),
      .bb = table.matrix("ffn.bb", F, C),
      .value = table.matrix("ffn.value", C, F, true),
      .x_state = table.shift_state("ffn.x"),
  };
}

}  // namespace aviary
