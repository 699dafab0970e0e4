// The first sketch of RWKV-6, from the README of RWKV-LM ("Dynamic Mix"): RWKV-5.2 with token shift mixtures
// that depend on the token, through one low-rank projection per mixture, in time mixing and in channel
// mixing:
//   time_mix_k(x) = time_mix_k + (x w1) w2
// The final RWKV-6 is different: rwkv6.cpp. With w1 = 0 this is RWKV-5.2.
#include "models/eagle.h"

namespace aviary {
namespace {

// One token shift mixture.
struct Mixture {
  Weight& time_mix;  // [1, 1, C]
  Weight &w1, &w2;   // [C, R], [R, C]
};

struct SketchTimeMix {
  Mixture k, v, r, g;
  Weight &time_decay, &time_faaaa;                   // [H, n]
  Weight &receptance, &key, &value, &gate, &output;  // [A, C], output [C, A]
  Norm ln_x;                                         // A channels
  size_t x_state, wkv_state;
};

struct SketchChannelMix {
  Mixture k, r;
  ChannelMix mix;
};

struct SketchBlock {
  Norm ln1, ln2;
  SketchTimeMix att;
  SketchChannelMix ffn;
};

SketchTimeMix add_time_mix(EagleTable& table);
SketchChannelMix add_channel_mix(EagleTable& table);

class Rwkv6Sketch final : public Model {
 public:
  Rwkv6Sketch(const ModelConfig& config, Dtype dtype)
      : Model(config, dtype), heads_(config.dim_att / config.head_size) {
    build(eagle_frame(config), [this](int64_t layer) {
      EagleTable table(*this, layer);
      blocks_.push_back({table.norm("ln1"), table.norm("ln2"), add_time_mix(table), add_channel_mix(table)});
    });
  }

 private:
  void block(Context& c, size_t layer, Stream& s) override {
    SketchBlock& p = blocks_[layer];
    s.x = time_mix(c, p.att, layer_norm(c, s.x, p.ln1), s.x, s.state);
    const Var normed = layer_norm(c, s.x, p.ln2);
    const std::array more{of_token(c, normed, p.ffn.k), of_token(c, normed, p.ffn.r)};
    s.x = channel_mix(c, p.ffn.mix, shift(MixOf::current), normed, s.x, s.state, more);
  }

  // The part of a mixture that depends on the token: [N, C].
  static Var of_token(Context& c, const Var& x, Mixture& p) { return low_rank(c, x, {p.w1, p.w2}); }

  Var time_mix(Context& c, SketchTimeMix& p, const Var& x, const Var& residual, std::span<Var> state) {
    const std::array more{of_token(c, x, p.k), of_token(c, x, p.v), of_token(c, x, p.r), of_token(c, x, p.g)};
    auto [xk, xv, xr, xg] =
        token_shift_mix<4>(c, x, state[p.x_state], shift(MixOf::current),
                           {&p.k.time_mix, &p.v.time_mix, &p.r.time_mix, &p.g.time_mix}, more);
    auto [k, v, r] = linear_each<3>(c, {xk, xv, xr}, {&p.key, &p.value, &p.receptance});  // [N, A]
    Var w = weight_row(c, p.time_decay, config_.dim_att);                                 // [1, A]
    Var u = weight_row(c, p.time_faaaa, config_.dim_att);
    Var y = wkv6(c, heads_, {r, k, v, w, u}, state[p.wkv_state]);
    y = group_norm(c, heads_, {y, p.ln_x.weight, p.ln_x.bias, Gate::silu, linear(c, xg, p.gate)},
                   eagle_epsilon);
    return residual_linear(c, Branch::att, residual, y, p.output);
  }

  int64_t heads_;
  std::vector<SketchBlock> blocks_;
};

// ---- The parameter table: that of RWKV-5.2, and the low-rank projections of the sketch.

Mixture add_mixture(EagleTable& table, const std::string& name, double power, double offset = 0) {
  const int64_t C = table.config().n_embd, R = table.config().rank_mix;
  return {table.mix(name, power, offset),
          table.parameter(name + "_w1", Use::in_out, {C, R}, init::uniform(0.01)),
          table.parameter(name + "_w2", Use::in_out, {R, C}, init::constant(0))};
}

SketchTimeMix add_time_mix(EagleTable& table) {
  const ModelConfig& config = table.config();
  const int64_t C = config.n_embd, A = config.dim_att, n = config.head_size, H = A / n;
  const double rest = table.rest();
  return {
      .k = add_mixture(table, "att.time_mix_k", rest),
      .v = add_mixture(table, "att.time_mix_v", rest, 0.3 * table.depth()),
      .r = add_mixture(table, "att.time_mix_r", 0.5 * rest),
      .g = add_mixture(table, "att.time_mix_g", 0.5 * rest),
      .time_decay = table.time_decay({H, n}),
      .time_faaaa = table.time_faaaa({H, n}),
      .receptance = table.matrix("att.receptance", A, C, 1),
      .key = table.matrix("att.key", A, C, 0.1),
      .value = table.matrix("att.value", A, C, 1),
      .gate = table.matrix("att.gate", A, C, 0.1),
      .output = table.matrix("att.output", C, A, 0),
      .ln_x = table.ln_x(),
      .x_state = table.shift_state("att.x"),
      .wkv_state = table.wkv_state(),
  };
}

SketchChannelMix add_channel_mix(EagleTable& table) {
  const Mixture k = add_mixture(table, "ffn.time_mix_k", table.rest());
  const Mixture r = add_mixture(table, "ffn.time_mix_r", table.rest());
  return {k, r, table.channel_mix(k.time_mix, r.time_mix)};
}

// ---- Sizes

ModelConfig complete(ModelConfig config) {
  if (!config.rank_mix) config.rank_mix = 32;
  return complete_eagle(std::move(config));
}

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  std::optional<ModelConfig> config = recognize_eagle(shapes);
  const Shape *low = find_in_blocks(shapes, "att.time_mix_k_w1"),
              *bonus = find_in_blocks(shapes, "att.time_faaaa");
  if (!config || !low || low->rank() != 2 || !bonus || bonus->rank() != 2) return {};
  config->version = "rwkv6-sketch";
  config->head_size = (*bonus)[1];
  config->rank_mix = (*low)[1];
  return config;
}

}  // namespace

AVIARY_MODEL(rwkv6_sketch){
    .name = "rwkv6-sketch",
    .title = "RWKV-6, the first sketch",
    .year = 2023,
    .recurrence = "as RWKV-5.2; token shift mixtures that depend on the token",
    .source = "README of RWKV-LM",
    .news = "a low-rank projection of the token for every token shift",
    .recipes = {"v5"},
    .options = {&option::head_qk, &option::head_qk_max, &option::token_shift},
    .no_golden = "there are formulas, but no code",
    .recognize = recognize,
    .complete = complete,
    .create = create_as<Rwkv6Sketch>,
    .training = [](const std::string&) { return eagle_recipe(); },
};

}  // namespace aviary
