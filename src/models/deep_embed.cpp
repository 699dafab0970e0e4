#include "models/deep_embed.h"

namespace aviary {

constexpr int64_t rank = 32;  // R

Var deep_embed(Context& c, DeepEmbed& p, const Var& x, const Var& rows) {
  Var s = linear(c, x, p.s1, Layout::in_out);  // [N, R]
  s = row_matrix(c, s, rows);                  // [N, R]
  return activate(c, Activation::none, linear(c, s, p.s2, Layout::in_out), &p.s0);
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
