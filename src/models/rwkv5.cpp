// RWKV-5 "Eagle": Peng et al. 2024, arXiv 2404.05892, and the two previews that led to it. Time mixing keeps
// a matrix per head, which decays at a learned rate: 5.0 has one rate per head, 5.1 adds a gate, 5.2 has a
// rate per channel. Originals: RWKV-LM, RWKV-v4neo/src/model.py (5.0 is RWKV_MY_TESTING=r, 5.1 r3, each with
// or without r2) and RWKV-v5/src/model.py (5.2 is x052).
#include "models/eagle.h"

namespace aviary {
namespace {

struct Rwkv5TimeMix {
  Weight& time_decay;  // [H, n]; previews: [H]
  Weight& bonus;       // as the decay: time_faaaa, or time_first, whose exponential is used
  bool bonus_is_exponent;
  std::array<Weight*, 4> time_mix;   // of k, v, r and, if there is a gate, g: [1, 1, C]
  Weight &receptance, &key, &value;  // [A, C]
  Weight &output, *gate;             // [C, A], [A, C]
  Norm ln_x;                         // A channels
  size_t x_state, wkv_state;
};

struct Rwkv5Block {
  Norm ln1, ln2;
  Rwkv5TimeMix att;
  ChannelMix ffn;
};

class Rwkv5 final : public Model {
 public:
  Rwkv5(const ModelConfig& config, Dtype dtype);

 private:
  void block(Context& c, size_t layer, Stream& s) override {
    Rwkv5Block& p = blocks_[layer];
    s.x = time_mix(c, p.att, layer_norm(c, s.x, p.ln1), s.x, s.state);
    s.x = channel_mix(c, p.ffn, shift(MixOf::current), layer_norm(c, s.x, p.ln2), s.x, s.state);
  }
  Var time_mix(Context& c, Rwkv5TimeMix& p, const Var& x, const Var& residual, std::span<Var> state) {
    std::array<Var, 4> mixed;
    const size_t count = p.gate ? 4 : 3;
    token_shift_mix(c, x, state[p.x_state], shift(MixOf::current), std::span(p.time_mix).first(count),
                    std::span(mixed).first(count));
    auto& [xk, xv, xr, xg] = mixed;
    auto [k, v, r] = linear_each<3>(c, {xk, xv, xr}, {&p.key, &p.value, &p.receptance});  // [N, A]
    Var w = weight_row(c, p.time_decay, config_.dim_att);                                 // [1, A]
    Var u = weight_row(c, p.bonus, config_.dim_att, p.bonus_is_exponent);
    HeadNorm norm{wkv6(c, heads_, {r, k, v, w, u}, state[p.wkv_state]), p.ln_x.weight, p.ln_x.bias};
    if (p.gate) {
      norm.gate = Gate::silu;
      norm.g = linear(c, xg, *p.gate);
    }
    return residual_linear(c, Branch::att, residual, group_norm(c, heads_, norm, eagle_epsilon), p.output);
  }

  int64_t heads_;
  std::vector<Rwkv5Block> blocks_;
};

// ---- The parameter table, with the initialization of the original trainers.

constexpr double preview_learning_rate = 6e-4;  // also the bound of the embedding

// For the previews: whether the weight of the current token is the exponential of a parameter, time_first.
bool has_time_first(const ModelConfig& config) {
  if (config.version == "rwkv5.0") return config.variant != "r2";
  return config.version == "rwkv5.1" && config.variant == "r3";
}

Rwkv5TimeMix add_time_mix(EagleTable& table) {
  const ModelConfig& config = table.config();
  const int64_t C = config.n_embd, A = config.dim_att, n = config.head_size, H = A / n;
  const Shape rates = table.preview() ? Shape{H} : Shape{H, n};
  const bool gate = config.version != "rwkv5.0", exponent = has_time_first(config);
  const double rest = table.rest();
  return {
      .time_decay = table.time_decay(rates),
      .bonus = exponent ? table.vector(
                              "att.time_first", rates, [](int64_t) { return -3.0; }, 3)
                        : table.time_faaaa(rates),
      .bonus_is_exponent = exponent,
      .time_mix = {&table.mix("att.time_mix_k", rest),
                   &table.mix("att.time_mix_v", rest, 0.3 * table.depth()),
                   &table.mix("att.time_mix_r", 0.5 * rest),
                   gate ? &table.mix("att.time_mix_g", 0.5 * rest) : nullptr},
      .receptance = table.matrix("att.receptance", A, C, 1),
      .key = table.matrix("att.key", A, C, 0.1),
      .value = table.matrix("att.value", A, C, 1),
      .output = table.matrix("att.output", C, A, 0),
      .gate = gate ? &table.matrix("att.gate", A, C, 0.1) : nullptr,
      .ln_x = table.ln_x(),
      .x_state = table.shift_state("att.x"),
      .wkv_state = table.wkv_state(),
  };
}

Rwkv5Block add_block(EagleTable& table) {
  const Norm ln1 = table.norm("ln1"), ln2 = table.norm("ln2");
  const Rwkv5TimeMix att = add_time_mix(table);
  Weight& mix_k = table.mix("ffn.time_mix_k", table.rest());
  Weight& mix_r = table.mix("ffn.time_mix_r", table.rest());
  return {ln1, ln2, att, table.channel_mix(mix_k, mix_r)};
}

Rwkv5::Rwkv5(const ModelConfig& config, Dtype dtype)
    : Model(config, dtype), heads_(config.dim_att / config.head_size) {
  const bool preview = config.version != "rwkv5.2";
  build(preview ? eagle_frame(config, preview_learning_rate, false) : eagle_frame(config),
        [this](int64_t layer) {
          EagleTable table(*this, layer);
          blocks_.push_back(add_block(table));
        });
}

// ---- Sizes

ModelConfig complete(ModelConfig config) {
  if (!config.dim_ffn && config.version == "rwkv5.0") config.dim_ffn = 4 * config.n_embd;
  return complete_eagle(std::move(config));
}

// The config of a model of any of the three versions.
std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  std::optional<ModelConfig> config = recognize_eagle(shapes);
  const Shape* decay = find_in_blocks(shapes, "att.time_decay");
  const bool later = find_in_blocks(shapes, "att.time_maa_x") || find_in_blocks(shapes, "att.time_mix_k_w1");
  if (!config || !decay || decay->rank() > 2 || decay->count() == 0 || later) return {};
  const bool gate = find_in_blocks(shapes, "att.gate.weight") || find_in_blocks(shapes, "att.time_mix_g");
  const bool faaaa = find_in_blocks(shapes, "att.time_faaaa"),
             first = find_in_blocks(shapes, "att.time_first");
  config->version = decay->rank() == 2 ? "rwkv5.2" : gate ? "rwkv5.1" : "rwkv5.0";
  config->head_size = config->dim_att / (*decay)[0];
  if (config->version == "rwkv5.0" && faaaa) config->variant = "r2";
  if (config->version == "rwkv5.1" && first) config->variant = "r3";
  return config;
}

std::optional<ModelConfig> recognize_as(const char* version, const ShapeMap& shapes) {
  std::optional<ModelConfig> config = recognize(shapes);
  return config && config->version == version ? config : std::nullopt;
}

TrainingRecipe train_preview(const std::string&) { return {.learning_rate = preview_learning_rate}; }

}  // namespace

AVIARY_MODEL(rwkv5_0){
    .name = "rwkv5.0",
    .title = "RWKV-5.0",
    .year = 2023,
    .recurrence = "y = r (u k^T v + S), S = e^-w S + k^T v, w and u a number per head",
    .source = "RWKV-LM RWKV-v4neo (RWKV_MY_TESTING=r, r2)",
    .news = "the state of a head is a matrix; group norm",
    .recipes = {"v4neo"},
    .variants = {"r2"},
    .options = {&option::head_qk, &option::head_qk_max, &option::token_shift},
    .recognize = [](const ShapeMap& shapes) { return recognize_as("rwkv5.0", shapes); },
    .complete = complete,
    .create = create_as<Rwkv5>,
    .training = train_preview,
};

AVIARY_MODEL(rwkv5_1){
    .name = "rwkv5.1",
    .title = "RWKV-5.1",
    .year = 2023,
    .recurrence = "as 5.0; the output is gated",
    .source = "RWKV-LM RWKV-v4neo (RWKV_MY_TESTING=r2r3, r3)",
    .news = "a gate after the group norm",
    .recipes = {"v4neo"},
    .variants = {"r3"},
    .options = {&option::head_qk, &option::head_qk_max, &option::token_shift},
    .recognize = [](const ShapeMap& shapes) { return recognize_as("rwkv5.1", shapes); },
    .complete = complete,
    .create = create_as<Rwkv5>,
    .training = train_preview,
};

AVIARY_MODEL(rwkv5_2){
    .name = "rwkv5.2",
    .title = "RWKV-5.2 Eagle",
    .year = 2023,
    .recurrence = "y = r (diag(u) k^T v + S), S = diag(e^-w) S + k^T v, per head",
    .source = "arXiv 2404.05892; RWKV-LM RWKV-v5 (x052)",
    .news = "decays and bonuses per channel, not per head",
    .recipes = {"v5"},
    .options = {&option::head_qk, &option::head_qk_max, &option::token_shift},
    .recognize = [](const ShapeMap& shapes) { return recognize_as("rwkv5.2", shapes); },
    .complete = complete,
    .create = create_as<Rwkv5>,
    .training = [](const std::string&) { return eagle_recipe(); },
};

}  // namespace aviary
