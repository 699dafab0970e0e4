// RWKV-7 "Goose": Peng et al. 2025, arXiv 2503.14456, as trained by RWKV-LM (RWKV-v7/train_temp/src/model.py,
// x070). Time mixing is a generalized delta rule: the state forgets along kk at the rate a and stores v for
// the key k.
#include "models/rwkv7.h"

#include <cmath>

namespace aviary {
namespace {

constexpr double group_norm_epsilon = 64e-5;

class Rwkv7 final : public Rwkv7Layers {
 public:
  Rwkv7(const ModelConfig& config, Dtype dtype) : Rwkv7Layers(config, dtype) {
    build(frame(), [this](int64_t layer) { blocks_.push_back(add_block(layer)); });
  }

 private:
  void block(Context& c, size_t layer, Stream& s) override {
    Rwkv7Block& p = blocks_[layer];
    s.x = time_mix(c, p.att, layer_norm(c, s.x, p.ln1), s.x, s);
    Var k = channel_keys(c, p.ffn, layer_norm(c, s.x, p.ln2), s);  // [N, F]
    s.x = residual_linear(c, Branch::ffn, s.x, k, p.ffn.value);
  }

  std::vector<Rwkv7Block> blocks_;
};

}  // namespace

Var Rwkv7Layers::time_mix(Context& c, Rwkv7TimeMix& p, const Var& x, const Var& residual, Stream& s) {
  auto [xr, xw, xk, xv, xa, xg] = token_shift_mix<6>(c, x, s.state[p.x_state], shift(MixOf::previous),
                                                     {&p.x_r, &p.x_w, &p.x_k, &p.x_v, &p.x_a, &p.x_g});
  auto [r, k, v] = linear_each<3>(c, {xr, xk, xv}, {&p.receptance, &p.key, &p.value});
  // wkv7 computes the decay from w; a is the in-context learning rate.
  auto [w, a, g] = low_rank_each<3>(c, {xw, xa, xg},
                                    {LowRank{p.w1, p.w2, Activation::tanh, &p.w0, Activation::none},
                                     LowRank{p.a1, p.a2, Activation::none, &p.a0, Activation::sigmoid},
                                     LowRank{p.g1, p.g2, Activation::sigmoid, nullptr, Activation::none}});
  Var& v_first = s.kept[v_first_];
  if (v_first.empty())
    v_first = v;
  else
    v = lerp(c, v, v_first, low_rank(c, xv, {p.v1, p.v2, Activation::none, &p.v0, Activation::sigmoid}));

  auto [key, remove, replace] = rwkv7_keys(c, heads_, k, p.k_k, a, p.k_a);
  Var y = wkv7(c, heads_, {r, w, key, v, remove, replace}, s.state[p.wkv_state]);
  y = rwkv7_output(c, heads_, {y, r, key, v, g, p.r_k, p.ln_x_weight, p.ln_x_bias}, group_norm_epsilon);
  return residual_linear(c, Branch::att, residual, y, p.output);
}

Var Rwkv7Layers::channel_keys(Context& c, Rwkv7ChannelMix& p, const Var& x, Stream& s) {
  auto [xk] = token_shift_mix<1>(c, x, s.state[p.x_state], shift(MixOf::previous), {&p.x_k});
  return activate(c, Activation::relu_squared, linear(c, xk, p.key));
}

// ---- The parameter table, with the initialization of the original trainer.

ModelFrame Rwkv7Layers::frame() const {
  const double V = static_cast<double>(config_.vocab_size), C = static_cast<double>(config_.n_embd);
  return {.embedding = {"emb", init::uniform(1e-4), true},
          .head = {"head", init::orthogonal(V > C ? 0.5 * std::sqrt(V / C) : 0.5), true}};
}

Rwkv7Block Rwkv7Layers::add_block(int64_t layer) {
  const std::string block = fmt::format("blocks.{}.", layer);
  return {add_norm(block + "ln1"), add_norm(block + "ln2"), add_time_mix(block + "att", layer),
          add_channel_mix(block + "ffn", layer)};
}

Rwkv7TimeMix Rwkv7Layers::add_time_mix(const std::string& place, int64_t layer) {
  const int64_t C = config_.n_embd, n = config_.head_size;
  const double depth =
      static_cast<double>(layer) / static_cast<double>(std::max<int64_t>(config_.n_layer - 1, 1));
  const double rest = 1 - static_cast<double>(layer) / static_cast<double>(config_.n_layer);
  const std::string att = place + ".";

  auto channel = [C](int64_t i) { return static_cast<double>(i) / static_cast<double>(C); };
  auto across = [C](int64_t i) {
    return static_cast<double>(i) / static_cast<double>(std::max<int64_t>(C - 1, 1));
  };
  auto line = [across](int64_t i) { return across(i) - 0.5; };  // from -1/2 to 1/2 over the channels
  auto zigzag = [n](int64_t i) {                                // from -1 to 1 in every head, squared
    const double half = static_cast<double>(n - 1) / 2, z = (static_cast<double>(i % n) - half) / half;
    return z * std::abs(z);
  };
  auto vector = [&](const char* name, std::function<double(int64_t)> value, double rate = 1) -> Weight& {
    const bool unused = layer == 0 && std::string(name) == "v0";
    return parameters_.add(
        {att + name, Use::vector, {1, 1, C}, init::each(std::move(value)), false, rate, unused});
  };
  auto shift = [&](const char* name, double power) -> Weight& {
    return vector(name, [=](int64_t i) { return 1 - std::pow(channel(i), power * rest); });
  };
  auto matrix = [&](const std::string& name, Use use, int64_t rows, int64_t cols, Initializer start,
                    bool decay) -> Weight& {
    const bool unused = layer == 0 && name[0] == 'v' && name.size() == 2;  // layer 0 has no v_first to mix in
    return parameters_.add({att + name, use, {rows, cols}, std::move(start), decay, 1, unused});
  };
  auto square = [&](const std::string& name, Initializer start) -> Weight& {
    return matrix(name + ".weight", Use::out_in, C, C, std::move(start), true);
  };
  auto down = [&](const char* name, int64_t rank) -> Weight& {
    return matrix(name, Use::in_out, C, rank, init::constant(0), false);
  };
  auto up = [&](const char* name, int64_t rank) -> Weight& {
    const double tall = rank > C ? std::sqrt(static_cast<double>(rank) / static_cast<double>(C)) : 1;
    return matrix(name, Use::in_out, rank, C, init::orthogonal(0.1 * tall), false);
  };

  const double norm = std::pow((1 + static_cast<double>(layer)) / static_cast<double>(config_.n_layer), 0.7);
  const size_t x_state = add_shift_state(att + "x"),
               wkv_state =
                   add_state({att + "wkv", StateKind::recurrence, {heads_, n, n}, 0, WhenTuned::trained});
  return {
      .x_r = shift("x_r", 0.2),
      .x_w = shift("x_w", 0.9),
      .x_k = shift("x_k", 0.7),
      .x_v = shift("x_v", 0.7),
      .x_a = shift("x_a", 0.9),
      .x_g = shift("x_g", 0.2),
      .w1 = down("w1", config_.rank_decay),
      .w2 = up("w2", config_.rank_decay),
      .w0 = vector(
          "w0",
          [=](int64_t i) {
            return -5.5 + 6 * std::pow(across(i), 1 + std::pow(depth, 0.3)) + 2.5 * zigzag(i);
          },
          2),
      .a1 = down("a1", config_.rank_a),
      .a2 = up("a2", config_.rank_a),
      .a0 = vector("a0", [=](int64_t i) { return -0.19 + 0.3 * zigzag(i) + 0.4 * line(i); }),
      .v1 = down("v1", config_.rank_v),
      .v2 = up("v2", config_.rank_v),
      .v0 = vector("v0", [=](int64_t i) { return 0.73 - 0.4 * line(i); }),
      .g1 = down("g1", config_.rank_gate),
      .g2 = up("g2", config_.rank_gate),
      .k_k = vector("k_k", [=](int64_t i) { return 0.71 - 0.1 * line(i); }),
      .k_a = vector("k_a", [](int64_t) { return 1.02; }),
      .r_k = matrix("r_k", Use::vector, heads_, n, init::constant(-0.04), false),
      .receptance = square("receptance", init::orthogonal(1)),
      .key = square("key", init::orthogonal(0.1)),
      .value = square("value", init::orthogonal(1)),
      .output = square("output", init::constant(0)),
      .ln_x_weight = parameters_.add({att + "ln_x.weight", Use::vector, {C}, init::constant(norm)}),
      .ln_x_bias = parameters_.add({att + "ln_x.bias", Use::vector, {C}, init::constant(0)}),
      .x_state = x_state,
      .wkv_state = wkv_state,
  };
}

Rwkv7ChannelMix Rwkv7Layers::add_channel_mix(const std::string& place, int64_t layer) {
  const int64_t C = config_.n_embd, F = config_.dim_ffn;
  const double rest = 1 - static_cast<double>(layer) / static_cast<double>(config_.n_layer);
  const std::string ffn = place + ".";
  auto shift = [=](int64_t i) {
    return 1 - std::pow(static_cast<double>(i) / static_cast<double>(C), std::pow(rest, 4));
  };
  return {
      .x_k = parameters_.add({ffn + "x_k", Use::vector, {1, 1, C}, init::each(shift)}),
      .key = parameters_.add({ffn + "key.weight", Use::out_in, {F, C}, init::orthogonal(1), true}),
      .value = parameters_.add({ffn + "value.weight", Use::out_in, {C, F}, init::constant(0), true}),
      .x_state = add_shift_state(ffn + "x"),
  };
}

// ---- Sizes

namespace {

// The ranks chosen by the original trainer: max(32, factor * sqrt(C) rounded to a multiple of 32, halves to
// even).
int64_t rank_rule(double factor, int64_t n_embd) {
  const double steps = std::nearbyint(factor * std::sqrt(static_cast<double>(n_embd)) / 32);
  return std::max<int64_t>(32, static_cast<int64_t>(steps) * 32);
}

}  // namespace

ModelConfig complete_rwkv7(ModelConfig config) {
  const int64_t C = config.n_embd;
  if (!config.head_size) config.head_size = C % 64 == 0 ? 64 : C % 32 == 0 ? 32 : 8;
  require(config.head_size % 8 == 0 && C % config.head_size == 0,
          "{}: width {} with heads of {}: the head size must be a multiple of 8 that divides the width",
          config.version, C, config.head_size);
  if (!config.dim_ffn) config.dim_ffn = 4 * C;
  if (!config.rank_decay) config.rank_decay = rank_rule(2.5, C);
  if (!config.rank_a) config.rank_a = rank_rule(2.5, C);
  if (!config.rank_v) config.rank_v = rank_rule(1.7, C);
  if (!config.rank_gate) config.rank_gate = rank_rule(5, C);
  return config;
}

std::optional<ModelConfig> recognize_rwkv7(const char* version, const ShapeMap& shapes,
                                           const Rwkv7Names& names) {
  auto matrix = [&](const std::string& name) -> const Shape* {
    const Shape* shape = find_shape(shapes, name);
    return shape && shape->rank() == 2 ? shape : nullptr;
  };
  const std::string& att = names.first_time_mix;
  const Shape *emb = matrix(names.embedding), *key = matrix(names.channel_mix + "key.weight");
  const Shape *r_k = matrix(att + "r_k"), *w1 = matrix(att + "w1"), *a1 = matrix(att + "a1"),
              *g1 = matrix(att + "g1"), *v1 = matrix(names.second_time_mix + "v1");
  if (!v1) v1 = matrix(att + "v1");
  if (!emb || !key || !r_k || !w1 || !a1 || !g1) return {};
  ModelConfig config{.version = version,
                     .n_layer = count_blocks(shapes),
                     .n_embd = (*emb)[1],
                     .vocab_size = (*emb)[0],
                     .head_size = (*r_k)[1],
                     .dim_ffn = (*key)[0]};
  config.rank_decay = (*w1)[1];
  config.rank_a = (*a1)[1];
  config.rank_gate = (*g1)[1];
  config.rank_v = v1 ? (*v1)[1] : 0;
  return config;
}

TrainingRecipe train_like_rwkv7(const std::string&) {
  return {.learning_rate = 6e-4, .epsilon = 1e-18, .weight_decay = 1e-3};
}

namespace {

// Its variants have all of its tensors, and additional ones in every block.
std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  for (const char* more : {"ffn.s_emb.weight", "ffn.enn.weight", "qkv.qq.weight"})
    if (find_in_blocks(shapes, more)) return {};
  return recognize_rwkv7("rwkv7", shapes);
}

}  // namespace

AVIARY_MODEL(rwkv7){
    .name = "rwkv7",
    .title = "RWKV-7 Goose",
    .year = 2025,
    .recurrence = "S = S diag(decay) + (S a) b^T + v k^T, per head",
    .source = "arXiv 2503.14456; RWKV-LM RWKV-v7/train_temp",
    .news = "a generalized delta rule: the state forgets along one direction per token, at learned rates",
    .recipes = {"v7"},
    .options = {&option::head_qk, &option::head_qk_max, &option::token_shift},
    .recognize = recognize,
    .complete = complete_rwkv7,
    .create = create_as<Rwkv7>,
    .training = train_like_rwkv7,
};

}  // namespace aviary
