// RWKV-8 with ROSA, the rapid online suffix automaton, as in the experiments on digits (RWKV-LM, RWKV-v8/
// 251024_rosaQKV_run.py and 251105_reverse_run.py, whose names the tensors have): beside RWKV-7's time mixing
// stands a layer that copies, for every channel, the bit that followed the last time things went as now. No
// trainer of it was published. No gradient passes through the bits, so what makes them stays as it starts.
#include <cmath>

#include "models/rwkv7.h"

namespace aviary {
namespace {

struct Rosa {
  Weight &x_q, &x_k, &x_v;  // [1, 1, C] token shift
  Affine q, k, v;           // [C, C], [C]
  Weight& emb;              // [1, 1, C]
  Affine o;
  size_t x_state, keys, values, match;
};

struct RosaBlock {
  Norm lna, lnb, lnc;
  Rwkv7TimeMix rwkv;
  Rosa rosa;
  Rwkv7ChannelMix ffn;
};

class Rwkv8Rosa final : public Rwkv7Layers {
 public:
  Rwkv8Rosa(const ModelConfig& config, Dtype dtype);

  Var hidden(Context& c, std::span<const int32_t> tokens, std::span<Var> state) override {
    Var x = embedding(c, *e_, tokens), v_first;  // [N, C]
    for (RosaBlock& block : blocks_) {
      Var y = add_branch(c, Branch::att, x, rosa(c, block.rosa, layer_norm(c, x, block.lnc), state));
      x = time_mix(c, block.rwkv, layer_norm(c, x, block.lna), y, v_first, state);
      Var k = channel_keys(c, block.ffn, layer_norm(c, x, block.lnb), state);  // [N, F]
      x = residual_linear(c, Branch::ffn, x, k, block.ffn.value);
      c.end_layer(x);
    }
    return layer_norm(c, x, *lno_);
  }
  Weight& head() override { return *o_; }
  Weight* head_bias() override { return o_bias_; }

 private:
  Var rosa(Context& c, Rosa& p, const Var& x, std::span<Var> state) {
    auto [xq, xk, xv] = token_shift_mix<3>(c, x, state[p.x_state], MixOf::previous, {&p.x_q, &p.x_k, &p.x_v});
    Var q = linear(c, xq, p.q), k = linear(c, xk, p.k), v = linear(c, xv, p.v);
    Var y = rosa_qkv(c, q, k, v, p.emb, {state[p.keys], state[p.values], state[p.match]});  // emb or -emb
    return linear(c, y, p.o);
  }

  Rosa add_rosa(const std::string& name);

  Weight *e_, *o_, *o_bias_;
  std::optional<Norm> lno_;
  std::vector<RosaBlock> blocks_;
};

Rwkv8Rosa::Rwkv8Rosa(const ModelConfig& config, Dtype dtype) : Rwkv7Layers(config, dtype) {
  const int64_t C = config.n_embd, V = config.vocab_size;
  e_ = &parameters_.add({"e.weight", Use::table, {V, C}, init::uniform(std::sqrt(3.0))});  // variance 1
  for (int64_t layer = 0; layer < config.n_layer; ++layer) {
    auto name = [&](const char* kind) { return fmt::format("{}{}", kind, layer + 1); };
    Norm lna = add_norm(name("ln") + "a"), lnb = add_norm(name("ln") + "b"), lnc = add_norm(name("ln") + "c");
    Rwkv7TimeMix rwkv = add_time_mix(name("rwkv"), layer);
    Rosa rosa = add_rosa(name("rosa"));
    blocks_.push_back({lna, lnb, lnc, rwkv, rosa, add_channel_mix(name("ffn"), layer)});
  }
  lno_.emplace(add_norm("lno"));
  o_ = &add_head("o");
  o_bias_ = &parameters_.add({"o.bias", Use::vector, {V}, init::constant(0)});
}

Rosa Rwkv8Rosa::add_rosa(const std::string& name) {
  const int64_t C = config_.n_embd;
  const double bound = 1 / std::sqrt(static_cast<double>(C));
  auto shift = [&](const char* which) -> Weight& {
    return parameters_.add({name + which, Use::vector, {1, 1, C}, init::constant(0)});
  };
  auto biased = [&](const char* which) -> Affine {
    Weight& weight =
        parameters_.add({name + which + ".weight", Use::out_in, {C, C}, init::uniform(bound), true});
    return {weight, parameters_.add({name + which + ".bias", Use::vector, {C}, init::uniform(bound)})};
  };
  auto history = [&](const char* which) { return add_state({name + which, StateKind::history, {C}}); };
  return {.x_q = shift(".x_q"),
          .x_k = shift(".x_k"),
          .x_v = shift(".x_v"),
          .q = biased(".q"),
          .k = biased(".k"),
          .v = biased(".v"),
          .emb = parameters_.add({name + ".rosa_qkv.emb", Use::vector, {1, 1, C}, init::constant(1)}),
          .o = biased(".o"),
          .x_state = add_shift_state(name + ".x"),
          .keys = history(".keys"),
          .values = history(".values"),
          .match = history(".match")};
}

ModelConfig complete(ModelConfig config) {
  if (!config.head_size && config.n_embd % 16 == 0) config.head_size = 16;
  return complete_rwkv7(std::move(config));
}

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  std::optional<ModelConfig> config = recognize_rwkv7("rwkv8-rosa", shapes,
                                                      {.embedding = "e.weight",
                                                       .first_time_mix = "rwkv1.",
                                                       .second_time_mix = "rwkv2.",
                                                       .channel_mix = "ffn1."});
  if (config) config->n_layer = count_blocks(shapes, "rwkv") - 1;  // they count from 1
  return config;
}

}  // namespace

AVIARY_MODEL(rwkv8_rosa){
    .name = "rwkv8-rosa",
    .title = "RWKV-8 ROSA",
    .year = 2025,
    .recurrence = "RWKV-7's, and the bit behind the longest match",
    .source = "RWKV-LM RWKV-v8/251024_rosaQKV_run.py",
    .news = "ROSA: a layer that copies what followed the longest match",
    .recipes = {"v7"},
    .recognize = recognize,
    .complete = complete,
    .create = [](const ModelConfig& config, Dtype dtype) -> std::unique_ptr<Model> {
      return std::make_unique<Rwkv8Rosa>(config, dtype);
    },
    .training = train_like_rwkv7,
};

}  // namespace aviary
