// Optional self-attention in parallel to the time mixing of RWKV-4: one small head that sees every token
// read, with its own mixtures. RWKV-LM, RWKV-v4neo.
#pragma once

#include "models/block_table.h"

namespace aviary {

namespace option {
inline constexpr ModelOption self_attention{.name = "self_attention",
                                            .help = "Attention in parallel to time mixing"};
}  // namespace option

struct SelfAttention {
  Weight &time_mix_qq, &time_mix_kk, &time_mix_vv;  // [1, 1, C]
  Weight &qq, &kk, &vv, &oo;                        // [D, C], oo [C, D]
  size_t keys, values;                              // histories
};

// x is the input of time mixing, `before` the state of its token shift before this step, y its output.
// Returns the sum of y and the attention.
inline Var self_attention(Context& c, SelfAttention& p, TokenShift shift, const Var& x, Var before,
                          const Var& y, std::span<Var> state) {
  auto [xq, xk, xv] =
      token_shift_mix<3>(c, x, before, shift, {&p.time_mix_qq, &p.time_mix_kk, &p.time_mix_vv});
  Var q = linear(c, xq, p.qq);                                      // [N, D]
  Var k = append_history(c, linear(c, xk, p.kk), state[p.keys]);    // [S, capacity, D]
  Var v = append_history(c, linear(c, xv, p.vv), state[p.values]);  // [S, capacity, D]
  Var seen = attention(c, q, k, v, {.scale = 1 / std::sqrt(static_cast<double>(q.cols()))});
  return linear(c, seen, p.oo, Layout::out_in, y);
}

inline SelfAttention add_self_attention(BlockTable& table) {
  const int64_t C = table.config().n_embd, D = C / 16;
  return {
      .time_mix_qq = table.mix("att.time_mix_qq", table.rest()),
      .time_mix_kk = table.mix("att.time_mix_kk", table.rest()),
      .time_mix_vv = table.mix("att.time_mix_vv", table.rest(), 0.3 * table.depth()),
      .qq = table.matrix("att.qq", D, C),
      .kk = table.matrix("att.kk", D, C),
      .vv = table.matrix("att.vv", D, C),
      .oo = table.matrix("att.oo", C, D, true),
      .keys = table.history("att.keys", D),
      .values = table.history("att.values", D),
  };
}

}  // namespace aviary
