// RWKV-8 with ROSA, the rapid online suffix automaton, as in the experiments on digits (RWKV-LM, RWKV-v8,
// 251024_rosaQKV_run.py and 251105_reverse_run.py, whose tensor names are used): in parallel to RWKV-7's time
// mixing, a layer copies, for every channel, the bit that followed the last occurrence of the current suffix.
// No trainer of it was published. Gradients do not pass through the bits, so the weights that compute them
// keep their initial values.
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
  Rwkv8Rosa(const ModelConfig& config, Dtype dtype) : Rwkv7Layers(config, dtype) {
    ModelFrame around = frame();
    around.embedding = {"e", init::uniform(std::sqrt(3.0))};  // variance 1
    around.first_norm.clear();
    around.last_norm = "lno";
    around.head.name = "o";
    around.head_bias = true;
    build(around, [this](int64_t layer) {
      auto name = [&](const char* kind) { return fmt::format("{}{}", kind, layer + 1); };
      const std::string ln = name("ln");
      blocks_.push_back({add_norm(ln + "a"), add_norm(ln + "b"), add_norm(ln + "c"),
                         add_time_mix(name("rwkv"), layer), add_rosa(name("rosa")),
                         add_channel_mix(name("ffn"), layer)});
    });
  }

 private:
  void block(Context& c, size_t layer, Stream& s) override {
    RosaBlock& p = blocks_[layer];
    Var y = add_branch(c, Branch::att, s.x, rosa(c, p.rosa, layer_norm(c, s.x, p.lnc), s.state));
    s.x = time_mix(c, p.rwkv, layer_norm(c, s.x, p.lna), y, s);
    Var k = channel_keys(c, p.ffn, layer_norm(c, s.x, p.lnb), s);  // [N, F]
    s.x = residual_linear(c, Branch::ffn, s.x, k, p.ffn.value);
  }

  Var rosa(Context& c, Rosa& p, const Var& x, std::span<Var> state) {
    auto [xq, xk, xv] =
        token_shift_mix<3>(c, x, state[p.x_state], shift(MixOf::previous), {&p.x_q, &p.x_k, &p.x_v});
    Var q = linear(c, xq, p.q), k = linear(c, xk, p.k), v = linear(c, xv, p.v);
    Var y = rosa_qkv(c, q, k, v, p.emb, {state[p.keys], state[p.values], state[p.match]});  // emb or -emb
    return linear(c, y, p.o);
  }

  Rosa add_rosa(const std::string& name);

  std::vector<RosaBlock> blocks_;
};

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
  if (config) config->n_layer = count_blocks(shapes, "rwkv") - 1;  // layers are numbered from 1
  return config;
}

}  // namespace

AVIARY_MODEL(rwkv8_rosa){
    .name = "rwkv8-rosa",
    .title = "RWKV-8 ROSA",
    .year = 2025,
    .recurrence = "RWKV-7's, and the bit after the longest match",
    .source = "RWKV-LM RWKV-v8/251024_rosaQKV_run.py",
    .news = "ROSA: a layer that copies what followed the longest match",
    .recipes = {"v7"},
    .no_golden = "no trainer of it was published; outputs of trained models are in the full reference data",
    .recognize = recognize,
    .complete = complete,
    .create = create_as<Rwkv8Rosa>,
    .training = train_like_rwkv7,
};

}  // namespace aviary
