// The tiny attention of aMLP (Liu et al. 2021, arXiv 2105.08050), which RWKV-4a has after one block: small
// queries and keys, no softmax, and values computed from the embedding. RWKV-LM, RWKV-v4neo.
#pragma once

#include "models/block_table.h"

namespace aviary {

namespace option {
inline constexpr ModelOption tiny_att_dim{.name = "tiny_att_dim",
                                          .help = "Width of tiny attention after one block",
                                          .kind = OptionKind::width,
                                          .sample = 8};
inline constexpr ModelOption tiny_att_layer{.name = "tiny_att_layer",
                                            .help = "The block after which tiny attention is placed",
                                            .kind = OptionKind::block,
                                            .needs = &tiny_att_dim};
}  // namespace option

struct TinyAttention {
  Norm tiny_ln;
  Weight &tiny_q, &tiny_k, &tiny_v;  // [D, C], [D, C], [C, C]
  size_t keys, values;               // histories
};

// x_emb: the rows of the embedding, without ln0.
inline Var tiny_attention(Context& c, TinyAttention& p, const Var& x, const Var& x_emb,
                          std::span<Var> state) {
  Var z = layer_norm(c, x, p.tiny_ln);
  Var q = linear(c, z, p.tiny_q);                                          // [N, D]
  Var k = append_history(c, linear(c, z, p.tiny_k), state[p.keys]);        // [S, capacity, D]
  Var v = append_history(c, linear(c, x_emb, p.tiny_v), state[p.values]);  // [S, capacity, C]
  const double scale = 1 / std::sqrt(static_cast<double>(q.cols()));
  return add(c, x, attention(c, q, k, v, {.scale = scale, .softmax = false}));
}

inline TinyAttention add_tiny_attention(BlockTable& table) {
  const int64_t C = table.config().n_embd, D = table.config().number(option::tiny_att_dim);
  return {
      .tiny_ln = table.norm("tiny_ln"),
      .tiny_q = table.matrix("tiny_q", D, C),
      .tiny_k = table.matrix("tiny_k", D, C),
      .tiny_v = table.matrix("tiny_v", C, C),
      .keys = table.history("tiny.keys", D),
      .values = table.history("tiny.values", C),
  };
}

}  // namespace aviary
