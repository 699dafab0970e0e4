// The strongest of the attention models that RWKV-1 was compared with (RWKV-LM, RWKV-v1/src/model.py,
// model_type MHA_pro): rotary attention with token shift; after the softmax, the weights are multiplied by
// the decay curves of RWKV-1 and mixed across heads (talking heads: Shazeer et al. 2020, arXiv 2003.02436);
// RWKV-1's channel mixing.
#include <cmath>

#include "models/rotary_frequencies.h"
#include "models/rwkv1_skeleton.h"

namespace aviary {
namespace {

struct MhaProAttention {
  Weight &time_w, &time_alpha, &time_beta, &time_gamma;  // [H, L], [H, 1, L], [H, L, 1], [L, 1]
  Affine query, key, value;                              // [A, C]
  Weight& inv_freq;                                      // [n / 4]
  Weight& head_mix;                                      // [H, H, 1, 1]
  Affine output;                                         // [C, A]
  size_t x_state, keys, values;
};

class MhaPro final : public Rwkv1Skeleton {
 public:
  MhaPro(const ModelConfig& config, Dtype dtype)
      : Rwkv1Skeleton(config, dtype, {.rwkv = true, .shift = true}),
        heads_(config.dim_att / config.head_size) {
    build([this](const std::string& attn) { layers_.push_back(add_attention(attn)); });
  }

 private:
  Var attention(Context& c, size_t layer, const Var& in, const Var& residual, std::span<Var> state) override {
    MhaProAttention& p = layers_[layer];
    Var x = token_shift(c, in, state[p.x_state]);
    Var q = rotary(c, heads_, linear(c, x, p.query), p.inv_freq);       // [N, A]
    Var k = rotary(c, heads_, linear(c, x, p.key), p.inv_freq);         // [N, A]
    k = append_history(c, k, state[p.keys]);                            // [S, capacity, A]
    Var v = append_history(c, linear(c, x, p.value), state[p.values]);  // [S, capacity, A]
    Var y = aviary::attention(c, q, k, v,
                              {.heads = heads_,
                               .scale = 1 / std::sqrt(static_cast<double>(config_.head_size)),
                               .time = {&p.time_w, &p.time_alpha, &p.time_beta},
                               .mix = &p.head_mix});  // [N, A]
    y = linear(c, y, p.output);
    return add_branch(c, Branch::att, residual, scale_by_position(c, y, p.time_gamma));
  }

  MhaProAttention add_attention(const std::string& attn) {
    const int64_t C = config_.n_embd, A = config_.dim_att, L = config_.ctx_len, H = heads_;
    const double bound = 1 / std::sqrt(static_cast<double>(H));
    return {
        .time_w = add_vector(attn + "time_w", {H, L}, 1),
        .time_alpha = add_vector(attn + "time_alpha", {H, 1, L}, 1),
        .time_beta = add_vector(attn + "time_beta", {H, L, 1}, 1),
        .time_gamma = add_vector(attn + "time_gamma", {L, 1}, 1),
        .query = add_affine(attn + "query", A, C),
        .key = add_affine(attn + "key", A, C),
        .value = add_affine(attn + "value", A, C),
        .inv_freq = parameters_.add(rotary_frequencies(attn, config_.head_size)),
        .head_mix =
            parameters_.add({attn + "head_mix.weight", Use::vector, {H, H, 1, 1}, init::uniform(bound)}),
        .output = add_affine(attn + "output", C, A),
        .x_state = add_token_shift(attn + "x"),
        .keys = add_state({attn + "keys", StateKind::history, {A}}),
        .values = add_state({attn + "values", StateKind::history, {A}}),
    };
  }

  int64_t heads_;
  std::vector<MhaProAttention> layers_;
};

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  const Shape* inv_freq = find_shape(shapes, rotary_frequencies_name("blocks.0.attn."));
  std::optional<ModelConfig> config = recognize_rwkv1(shapes, "mha_pro");
  if (!config || !inv_freq || !find_shape(shapes, "blocks.0.attn.head_mix.weight")) return {};
  config->head_size = head_size_of(*inv_freq);
  return config;
}

}  // namespace

AVIARY_MODEL(mha_pro){
    .name = "mha_pro",
    .title = "MHA_pro",
    .year = 2021,
    .recurrence = "rotary attention, weights times w(t - u) a_u b_t and mixed among heads, token shift",
    .source = "RWKV-LM RWKV-v1; arXiv 2003.02436",
    .news = "attention with features of RWKV-1 (token shift, time weights, channel mixing) and mixed heads",
    .recipes = {"v1"},
    .buffers = {".attn.mask"},
    .options = {&option::head_qk, &option::head_qk_max, &option::token_shift, &option::small_init_emb_ln0},
    .recognize = recognize,
    .complete = [](ModelConfig config) { return complete_rwkv1(std::move(config), 4, 2.5); },
    .create = create_as<MhaPro>,
    .training = [](const std::string&) { return rwkv1_training(4e-4, 0.01); },
};

}  // namespace aviary
