// RWKV-6 "Finch": Peng et al. 2024, arXiv 2404.05892, as trained by RWKV-LM (RWKV-v5/src/model.py, x060). The
// decay of the state and the token shift mixtures depend on the token. Two variants of the same trainer:
// x060a, with a low-rank gate, and x060b, without a gate.
#include "models/eagle.h"

namespace aviary {

namespace option {
constexpr ModelOption trainable_state{.name = "trainable_state",
                                      .help = "The state before the first token is learned"};
}  // namespace option

namespace {

enum class Member { x060, x060a, x060b };

struct Rwkv6TimeMix {
  Weight& time_maa_x;                         // [1, 1, C]
  std::array<Weight*, 5> time_maa;            // [1, 1, C], in the order of the matrices of maa_w2
  Weight &maa_w1, &maa_w2;                    // [C, 5 R], [5, R, C]; x060b: 4
  Weight &time_decay, &decay_w1, &decay_w2;   // [1, 1, A], [C, D], [D, A]
  Weight& time_faaaa;                         // [H, n]
  Weight* time_state;                         // [H, value, key], or none
  Weight &receptance, &key, &value, &output;  // [A, C], [C, A]
  Weight *gate, *gate_w1, *gate_w2;           // [A, C]; x060a: [C, G], [G, A]; x060b: none
  Norm ln_x;                                  // A channels
  size_t x_state, wkv_state;
};

struct Rwkv6Block {
  Norm ln1, ln2;
  Rwkv6TimeMix att;
  ChannelMix ffn;
};

class Rwkv6 final : public Model {
 public:
  Rwkv6(const ModelConfig& config, Dtype dtype);

 private:
  void block(Context& c, size_t layer, Stream& s) override {
    Rwkv6Block& p = blocks_[layer];
    s.x = time_mix(c, p.att, layer_norm(c, s.x, p.ln1), s.x, s.state);
    s.x = channel_mix(c, p.ffn, shift(MixOf::previous), layer_norm(c, s.x, p.ln2), s.x, s.state);
  }
  std::array<Var, 5> token_shift(Context& c, Rwkv6TimeMix& p, const Var& x, Var& state);
  Var time_mix(Context& c, Rwkv6TimeMix& p, const Var& x, const Var& residual, std::span<Var> state);
  Var norm_and_gate(Context& c, Rwkv6TimeMix& p, const Var& y, const Var& xg);

  Member member_;
  size_t mixtures_;  // w, k, v, r, g; x060b: r, k, v, w
  int64_t heads_;
  std::vector<Rwkv6Block> blocks_;
};

// x + (previous - x) (maa + low_rank(m)), where m is a first such mixture with maa_x; all [N, C].
std::array<Var, 5> Rwkv6::token_shift(Context& c, Rwkv6TimeMix& p, const Var& x, Var& state) {
  Var before = keep(c, state);
  auto [xx] = token_shift_mix<1>(c, x, before, shift(MixOf::previous), {&p.time_maa_x});
  Var low = activate(c, Activation::tanh, linear(c, xx, p.maa_w1, Layout::in_out));  // [N, 5 R]
  std::array<Var, 5> more, mixed;
  linear_stack(c, low, p.maa_w2, std::span(more).first(mixtures_));
  token_shift_mix(c, x, state, shift(MixOf::previous), std::span(p.time_maa).first(mixtures_),
                  std::span(mixed).first(mixtures_), std::span(more).first(mixtures_));
  if (member_ == Member::x060b) std::swap(mixed[0], mixed[3]);
  return mixed;
}

Var Rwkv6::time_mix(Context& c, Rwkv6TimeMix& p, const Var& x, const Var& residual, std::span<Var> state) {
  auto [xw, xk, xv, xr, xg] = token_shift(c, p, x, state[p.x_state]);
  auto [r, k, v] = linear_each<3>(c, {xr, xk, xv}, {&p.receptance, &p.key, &p.value});  // [N, A]
  Var w = low_rank(c, xw, {p.decay_w1, p.decay_w2, Activation::tanh, &p.time_decay, Activation::none});
  Var u = weight_row(c, p.time_faaaa, config_.dim_att);  // [1, A]
  if (p.time_state) start_state(c, *p.time_state, state[p.wkv_state]);
  Var y = wkv6(c, heads_, {r, k, v, w, u}, state[p.wkv_state]);
  return residual_linear(c, Branch::att, residual, norm_and_gate(c, p, y, xg), p.output);
}

Var Rwkv6::norm_and_gate(Context& c, Rwkv6TimeMix& p, const Var& y, const Var& xg) {
  HeadNorm norm{y, p.ln_x.weight, p.ln_x.bias};
  switch (member_) {
    case Member::x060:
      norm.gate = Gate::silu;
      norm.g = linear(c, xg, *p.gate);
      break;
    case Member::x060a:
      norm.gate = Gate::plain;
      norm.g = low_rank(c, xg, {*p.gate_w1, *p.gate_w2, Activation::tanh});
      break;
    case Member::x060b:
      return layer_norm(c, y, p.ln_x);
  }
  return group_norm(c, heads_, norm, eagle_epsilon);
}

// ---- The parameter table, with the initialization of the original trainer.

Member member_of(const ModelConfig& config) {
  return config.version == "rwkv6-x060b"   ? Member::x060b
         : config.version == "rwkv6-x060a" ? Member::x060a
                                           : Member::x060;
}

// A token shift mixture: 1 - (i / C)^power - offset.
Weight& add_maa(EagleTable& table, const std::string& name, double power, double offset = 0) {
  const auto width = static_cast<double>(table.config().n_embd);
  return table.vector(name, {1, 1, table.config().n_embd}, [=](int64_t i) {
    return 1 - std::pow(static_cast<double>(i) / width, power) - offset;
  });
}

Rwkv6TimeMix add_time_mix(EagleTable& table) {
  const ModelConfig& config = table.config();
  const int64_t C = config.n_embd, A = config.dim_att, n = config.head_size, H = A / n;
  const int64_t R = config.rank_mix, D = config.rank_decay, G = config.rank_gate;
  const Member member = member_of(config);
  const bool b = member == Member::x060b;
  const int64_t mixtures = b ? 4 : 5;
  const std::string low = b ? "att.time_maa_rkvw_" : "att.time_maa_";
  const double rest = table.rest();
  auto maa_w = [&] { return &add_maa(table, "att.time_maa_w", rest); };
  auto maa_r = [&] { return &add_maa(table, "att.time_maa_r", 0.5 * rest); };
  auto low_rank = [&](bool there, const std::string& name, Shape shape) {
    return there ? &table.parameter(name, Use::in_out, shape, init::uniform(0.01)) : nullptr;
  };
  return {
      .time_maa_x = add_maa(table, "att.time_maa_x", rest),
      .time_maa = {b ? maa_r() : maa_w(), &add_maa(table, "att.time_maa_k", rest),
                   &add_maa(table, "att.time_maa_v", rest, 0.3 * table.depth()), b ? maa_w() : maa_r(),
                   b ? nullptr : &add_maa(table, "att.time_maa_g", 0.5 * rest)},
      .maa_w1 =
          table.parameter(low + "w1", Use::in_out, {C, mixtures * R}, init::constant(0), 1, false, mixtures),
      .maa_w2 = table.parameter(low + "w2", Use::stack, {mixtures, R, C}, init::uniform(0.01)),
      .time_decay = table.time_decay({1, 1, A}),
      .decay_w1 = table.parameter("att.time_decay_w1", Use::in_out, {C, D}, init::constant(0)),
      .decay_w2 = table.parameter("att.time_decay_w2", Use::in_out, {D, A}, init::uniform(0.01)),
      .time_faaaa = table.time_faaaa({H, n}),
      .time_state = config.has(option::trainable_state)
                        ? &table.parameter("att.time_state", Use::vector, {H, n, n}, init::constant(0))
                        : nullptr,
      .receptance = table.matrix("att.receptance", A, C, 1),
      .key = table.matrix("att.key", A, C, 0.1),
      .value = table.matrix("att.value", A, C, 1),
      .output = table.matrix("att.output", C, A, 0),
      .gate = member == Member::x060 ? &table.matrix("att.gate", A, C, 0.1) : nullptr,
      .gate_w1 = low_rank(member == Member::x060a, "att.gate_w1", {C, G}),
      .gate_w2 = low_rank(member == Member::x060a, "att.gate_w2", {G, A}),
      .ln_x = table.ln_x(),
      .x_state = table.shift_state("att.x"),
      .wkv_state = table.wkv_state(),
  };
}

Rwkv6Block add_block(EagleTable& table) {
  const Norm ln1 = table.norm("ln1"), ln2 = table.norm("ln2");
  const Rwkv6TimeMix att = add_time_mix(table);
  const double power = std::pow(table.rest(), 3);
  Weight& maa_k = add_maa(table, "ffn.time_maa_k", power);
  Weight& maa_r = add_maa(table, "ffn.time_maa_r", power);
  return {ln1, ln2, att, table.channel_mix(maa_k, maa_r)};
}

Rwkv6::Rwkv6(const ModelConfig& config, Dtype dtype)
    : Model(config, dtype),
      member_(member_of(config)),
      mixtures_(member_ == Member::x060b ? 4 : 5),
      heads_(config.dim_att / config.head_size) {
  learns_first_state_ = config.has(option::trainable_state);
  build(eagle_frame(config), [this](int64_t layer) {
    EagleTable table(*this, layer);
    blocks_.push_back(add_block(table));
  });
}

// ---- Sizes

ModelConfig complete(ModelConfig config) {
  if (!config.rank_mix) config.rank_mix = 32;
  if (!config.rank_decay) config.rank_decay = 64;
  if (!config.rank_gate && config.version == "rwkv6-x060a") config.rank_gate = 64;
  return complete_eagle(std::move(config));
}

// The config of a model of any of the three versions.
std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  std::optional<ModelConfig> config = recognize_eagle(shapes);
  auto find = [&](const char* name, int rank) {
    const Shape* shape = find_in_blocks(shapes, name);
    return shape && shape->rank() == rank ? shape : nullptr;
  };
  const bool b = find("att.time_maa_rkvw_w1", 2) || find("att.time_maa_rkvw_w2", 3);
  const bool a = find("att.gate_w1", 2) || find("att.gate_w2", 2);
  const Shape *mix = find(b ? "att.time_maa_rkvw_w2" : "att.time_maa_w2", 3), *gate = find("att.gate_w2", 2);
  const Shape *decay = find("att.time_decay_w2", 2), *bonus = find("att.time_faaaa", 2);
  if (!config || !mix || !decay || !bonus) return {};
  config->version = b ? "rwkv6-x060b" : a ? "rwkv6-x060a" : "rwkv6";
  config->head_size = (*bonus)[1];
  config->rank_mix = (*mix)[1];
  config->rank_decay = (*decay)[0];
  config->rank_gate = gate ? (*gate)[0] : 0;
  config->set(option::trainable_state, find("att.time_state", 3) ? 1 : 0);
  return config;
}

std::optional<ModelConfig> recognize_as(const char* version, const ShapeMap& shapes) {
  std::optional<ModelConfig> config = recognize(shapes);
  return config && config->version == version ? config : std::nullopt;
}

TrainingRecipe training(const std::string&) { return eagle_recipe(); }

}  // namespace

AVIARY_MODEL(rwkv6){
    .name = "rwkv6",
    .title = "RWKV-6 Finch",
    .year = 2024,
    .recurrence = "y = r (diag(u) k^T v + S), S = diag(e^-w) S + k^T v, per head, w per token",
    .source = "arXiv 2404.05892; RWKV-LM RWKV-v5 (x060)",
    .news = "decays and token shifts that depend on the token, by low-rank matrices",
    .recipes = {"v6"},
    .options = {&option::trainable_state, &option::head_qk, &option::head_qk_max, &option::token_shift},
    .recognize = [](const ShapeMap& shapes) { return recognize_as("rwkv6", shapes); },
    .complete = complete,
    .create = create_as<Rwkv6>,
    .training = training,
};

AVIARY_MODEL(rwkv6_x060a){
    .name = "rwkv6-x060a",
    .title = "RWKV-6 x060a",
    .year = 2024,
    .recurrence = "as RWKV-6; the gate is low-rank",
    .source = "RWKV-LM RWKV-v5 (x060a)",
    .news = "the gate is a low-rank projection with tanh",
    .recipes = {"v6"},
    .options = {&option::trainable_state, &option::head_qk, &option::head_qk_max, &option::token_shift},
    .recognize = [](const ShapeMap& shapes) { return recognize_as("rwkv6-x060a", shapes); },
    .complete = complete,
    .create = create_as<Rwkv6>,
    .training = training,
};

AVIARY_MODEL(rwkv6_x060b){
    .name = "rwkv6-x060b",
    .title = "RWKV-6 x060b",
    .year = 2024,
    .recurrence = "as RWKV-6; no gate",
    .source = "RWKV-LM RWKV-v5 (x060b)",
    .news = "no gate",
    .recipes = {"v6"},
    .options = {&option::trainable_state, &option::head_qk, &option::head_qk_max, &option::token_shift},
    .recognize = [](const ShapeMap& shapes) { return recognize_as("rwkv6-x060b", shapes); },
    .complete = complete,
    .create = create_as<Rwkv6>,
    .training = training,
};

}  // namespace aviary
