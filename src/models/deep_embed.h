// DeepEmbed: channel mixing depends on a table entry looked up for the token, a matrix in rwkv7a and rwkv7b
// (RWKV-LM, RWKV-v7/rwkv_v7a_demo.py), a row in rwkv8.
#pragma once

#include "models/rwkv7.h"

namespace aviary {

// A row for every token: a table row plus a linear map of the token's embedding.
struct TokenRows {
  Weight& table;           // [V, width]
  Weight& from_embedding;  // [width, C]
};
// [N, width]; x is the embedding of the tokens, [N, C].
inline Var token_rows(Context& c, TokenRows& p, std::span<const int32_t> tokens, const Var& x) {
  return linear(c, x, p.from_embedding, Layout::out_in, embedding(c, p.table, tokens));
}
// The parameters `name`.weight, each row of which is initialized to `row`, and `name`_x.weight, initialized
// to 0.
TokenRows add_token_rows(ParameterTable& parameters, const std::string& name, const ModelConfig& config,
                         int64_t width, std::function<double(int64_t)> row);

struct DeepEmbed {
  TokenRows s_emb;  // width R R, a matrix
  Weight& s1;       // [C, R]
  Weight& s2;       // [R, F]
  Weight& s0;       // [1, 1, F]
};
// Starts as factors of 1.
DeepEmbed add_deep_embed(ParameterTable& parameters, const std::string& name, const ModelConfig& config);

// A model whose channel mixing uses a matrix looked up for the token.
class DeepEmbedLayers : public Rwkv7Layers {
 protected:
  DeepEmbedLayers(const ModelConfig& config, Dtype dtype) : Rwkv7Layers(config, dtype), emb_(add_kept()) {}

  void embed(Context& c, Stream& s) override {
    Model::embed(c, s);
    s.kept[emb_] = s.x;
  }
  // The embedding of the tokens, [N, C], through ln0.
  const Var& emb(const Stream& s) const { return s.kept[emb_]; }

  // s.x + channel mixing of x [N, C], with keys multiplied by x s1 E s2 + s0, where E [R, R] is the matrix of
  // the token.
  Var channel_mix(Context& c, Rwkv7ChannelMix& p, DeepEmbed& deep, const Var& x, Stream& s);

 private:
  size_t emb_;  // of Stream::kept
};

// A model whose channel mixing is multiplied by a row looked up for the token.
class DeepRowLayers : public Rwkv7Layers {
 protected:
  using Rwkv7Layers::Rwkv7Layers;

  // s.x + channel mixing of x [N, C] times rows of `enn` [V, C].
  Var channel_mix(Context& c, Rwkv7ChannelMix& p, Weight& enn, const Var& x, Stream& s);
  // Starts as factors of 1.
  Weight& add_rows(const std::string& name, int64_t width);
};

}  // namespace aviary
