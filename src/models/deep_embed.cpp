#include "models/deep_embed.h"

namespace aviary {

constexpr int64_t rank = 32;  // R

Var DeepEmbedLayers::channel_mix(Context& c, Rwkv7ChannelMix& p, DeepEmbed& deep, const Var& x, Stream& s) {
  Var k = channel_keys(c, p, x, s);                                       // [N, F]
  const Var E = token_rows(c, deep.s_emb, s.tokens, emb(s));              // [N, R R]
  Var factors = row_matrix(c, linear(c, x, deep.s1, Layout::in_out), E);  // [N, R]
  factors = linear(c, factors, deep.s2, Layout::in_out);                  // [N, F]
  k = mul(c, k, activate(c, Activation::none, factors, &deep.s0));
  return residual_linear(c, Branch::ffn, s.x, k, p.value);
}

Var DeepRowLayers::channel_mix(Context& c, Rwkv7ChannelMix& p, Weight& enn, const Var& x, Stream& s) {
  Var k = channel_keys(c, p, x, s);  // [N, F]
  return add_branch(c, Branch::ffn, s.x, mul(c, linear(c, k, p.value), embedding(c, enn, s.tokens)));
}

Weight& DeepRowLayers::add_rows(const std::string& name, int64_t width) {
  return parameters_.add({name + ".weight", Use::table, {config_.vocab_size, width}, init::constant(1)});
}

TokenRows add_token_rows(ParameterTable& parameters, const std::string& name, const ModelConfig& config,
                         int64_t width, std::function<double(int64_t)> row) {
  auto start = [width, row = std::move(row)](int64_t i) { return row(i % width); };
  Weight& table =
      parameters.add({name + ".weight", Use::table, {config.vocab_size, width}, init::each(start)});
  return {table,
          parameters.add({name + "_x.weight", Use::out_in, {width, config.n_embd}, init::constant(0), true})};
}

DeepEmbed add_deep_embed(ParameterTable& parameters, const std::string& name, const ModelConfig& config) {
  const int64_t C = config.n_embd, F = config.dim_ffn;
  auto identity = [](int64_t i) { return i % rank == i / rank ? 1.0 : 0.0; };
  TokenRows s_emb = add_token_rows(parameters, name + ".s_emb", config, rank * rank, identity);
  return {.s_emb = s_emb,
          .s1 = parameters.add({name + ".s1", Use::in_out, {C, rank}, init::orthogonal(1)}),
          .s2 = parameters.add({name + ".s2", Use::in_out, {rank, F}, init::constant(0)}),
          .s0 = parameters.add({name + ".s0", Use::vector, {1, 1, F}, init::constant(1)})};
}

}  // namespace aviary
