// DeepEmbed, of rwkv7a and rwkv7b: what a layer does with its input depends on a matrix that is looked up for
// the token (RWKV-LM, RWKV-v7/rwkv_v7a_demo.py).
#pragma once

#include "models/model.h"

namespace aviary {

// A row for every token: one of a table, plus what a matrix makes of the token's embedding.
struct TokenRows {
  Weight& table;           // [V, width]
  Weight& from_embedding;  // [width, C]
};
// [N, width]; x is the embedding of the tokens, [N, C].
inline Var token_rows(Context& c, TokenRows& p, std::span<const int32_t> tokens, const Var& x) {
  return linear(c, x, p.from_embedding, Layout::out_in, embedding(c, p.table, tokens));
}
// The parameters `name`.weight, every row of which starts as `row`, and `name`_x.weight, which starts at 0.
TokenRows add_token_rows(ParameterTable& parameters, const std::string& name, const ModelConfig& config,
                         int64_t width, std::function<double(int64_t)> row);

struct DeepEmbed {
  TokenRows s_emb;  // width R R, a matrix
  Weight& s1;       // [C, R]
  Weight& s2;       // [R, F]
  Weight& s0;       // [1, 1, F]
};
// The factors of a layer's keys, [N, F]: x s1 E s2 + s0, E [R, R] the matrix of the token. x [N, C] is the
// input of the layer.
Var deep_embed(Context& c, DeepEmbed& p, const Var& x, const Var& rows);
// Starts as factors of 1.
DeepEmbed add_deep_embed(ParameterTable& parameters, const std::string& name, const ModelConfig& config);

}  // namespace aviary
