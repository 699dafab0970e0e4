// RWKV-1 (August 2021; RWKV-LM, RWKV-v1/src/model.py, model_type RWKV), the first RWKV: the weighted average
// of AFT, in which the weights are, per head, a learned curve over the distance times one factor for each of
// the two positions.
#include <cmath>

#include "models/rwkv1_skeleton.h"

namespace aviary {
namespace {

struct Rwkv1TimeMix {
  Weight &time_w, &time_alpha, &time_beta, &time_gamma;  // [H, L], [H, 1, L], [H, L, 1], [L, 1]
  Affine key, value, receptance, output;                 // [A, C], [A, C], [A, C], [C, A]
  size_t x_state, keys, values;
};

class Rwkv1 final : public Rwkv1Skeleton {
 public:
  Rwkv1(const ModelConfig& config, Dtype dtype)
      : Rwkv1Skeleton(config, dtype, {.rwkv = true, .shift = true, .orthogonal = true}) {
    build([this](const std::string& attn) { layers_.push_back(add_time_mix(attn)); });
  }

 private:
  Var attention(Context& c, size_t layer, const Var& x, const Var& residual, std::span<Var> state) override {
    Rwkv1TimeMix& p = layers_[layer];
    Var shifted = token_shift(c, x, state[p.x_state]);
    Var r = linear(c, shifted, p.receptance);                                 // [N, A]
    Var k = append_history(c, linear(c, shifted, p.key), state[p.keys]);      // [S, capacity, A]
    Var v = append_history(c, linear(c, shifted, p.value), state[p.values]);  // [S, capacity, A]
    Var y = wkv1(c, {&p.time_w, &p.time_alpha, &p.time_beta}, k, v);          // [N, A]
    y = linear(c, sigmoid_gate(c, r, y), p.output);
    return add_branch(c, Branch::att, residual, scale_by_position(c, y, p.time_gamma));
  }

  Rwkv1TimeMix add_time_mix(const std::string& attn) {
    const int64_t C = config_.n_embd, A = config_.dim_att, L = config_.ctx_len, H = A / config_.head_size;
    // e^(-speed * distance): speeds from 1 / L to 1 per token, and one head without decay.
    auto curve = [=](int64_t i) {
      const double h = static_cast<double>(i / L), last = static_cast<double>(H - 1);
      const double speed = h < last ? std::pow(static_cast<double>(L), -(h + 1) / last) : 0;
      return std::exp(speed * static_cast<double>(i % L - (L - 1)));
    };
    return {
        .time_w = parameters_.add({attn + "time_w", Use::vector, {H, L}, init::each(curve)}),
        .time_alpha = add_vector(attn + "time_alpha", {H, 1, L}, 1),
        .time_beta = add_vector(attn + "time_beta", {H, L, 1}, 1),
        .time_gamma = add_vector(attn + "time_gamma", {L, 1}, 1),
        .key = add_affine(attn + "key", A, C, true),
        .value = add_affine(attn + "value", A, C),
        .receptance = add_affine(attn + "receptance", A, C, true),
        .output = add_affine(attn + "output", C, A, true),
        .x_state = add_token_shift(attn + "x"),
        .keys = add_state({attn + "keys", StateKind::history, {A}}),
        .values = add_state({attn + "values", StateKind::history, {A}}),
    };
  }

  std::vector<Rwkv1TimeMix> layers_;
};

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  const int64_t heads = find_size(shapes, "blocks.0.attn.time_w", 0);
  std::optional<ModelConfig> config = recognize_rwkv1(shapes, "rwkv1");
  if (!config || heads == 0 || !find_shape(shapes, "blocks.0.attn.receptance.weight")) return {};
  config->head_size = config->dim_att / heads;
  return config;
}

}  // namespace

AVIARY_MODEL(rwkv1){
    .name = "rwkv1",
    .title = "RWKV-1",
    .year = 2021,
    .recurrence = "y_t = sum of w(t - u) a_u b_t e^k v / sum of e^k, per channel, w per head",
    .source = "RWKV-LM RWKV-v1",
    .news = "AFT in heads, with weights by distance; a receptance, token shift, channel mixing, Head-QK",
    .recipes = {"v1"},
    .options = {&option::head_qk, &option::head_qk_max, &option::token_shift, &option::small_init_emb_ln0},
    .recognize = recognize,
    .complete = [](ModelConfig config) { return complete_rwkv1(std::move(config), 1, 2.5); },
    .create = create_as<Rwkv1>,
    .training = [](const std::string&) { return rwkv1_training(6e-4, 0); },
};

}  // namespace aviary
