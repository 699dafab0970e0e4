// The attention model that RWKV-1 was compared with (RWKV-LM, RWKV-v1/src/model.py, model_type MHA_rotary):
// softmax attention (Vaswani et al. 2017, arXiv 1706.03762), rotary embeddings on half of every head (Su et
// al. 2021, arXiv 2104.09864), GeGLU (Shazeer 2020, arXiv 2002.05202). And the same with token shift
// (MHA_shift).
#include <cmath>

#include "models/rotary_frequencies.h"
#include "models/rwkv1_skeleton.h"

namespace aviary {
namespace {

struct RotaryAttention {
  Affine query, key, value, output;  // [A, C], [A, C], [A, C], [C, A]
  Weight& inv_freq;                  // [n / 4]
  size_t x_state, keys, values;
};

class MhaRotary final : public Rwkv1Skeleton {
 public:
  MhaRotary(const ModelConfig& config, Dtype dtype)
      : Rwkv1Skeleton(config, dtype, {.rwkv = false, .shift = config.version == "mha_rotary_shift"}),
        shift_(config.version == "mha_rotary_shift"),
        heads_(config.dim_att / config.head_size) {
    build([this](const std::string& attn) { layers_.push_back(add_attention(attn)); });
  }

 private:
  Var attention(Context& c, size_t layer, const Var& in, const Var& residual, std::span<Var> state) override {
    RotaryAttention& p = layers_[layer];
    Var x = shift_ ? token_shift(c, in, state[p.x_state]) : in;
    Var q = rotary(c, heads_, linear(c, x, p.query), p.inv_freq);       // [N, A]
    Var k = rotary(c, heads_, linear(c, x, p.key), p.inv_freq);         // [N, A]
    k = append_history(c, k, state[p.keys]);                            // [S, capacity, A]
    Var v = append_history(c, linear(c, x, p.value), state[p.values]);  // [S, capacity, A]
    const double scale = 1 / std::sqrt(static_cast<double>(config_.head_size));
    Var y = aviary::attention(c, q, k, v, {.heads = heads_, .scale = scale});  // [N, A]
    return residual_linear(c, Branch::att, residual, y, p.output);
  }

  RotaryAttention add_attention(const std::string& attn) {
    const int64_t C = config_.n_embd, A = config_.dim_att;
    return {
        .query = add_affine(attn + "query", A, C),
        .key = add_affine(attn + "key", A, C),
        .value = add_affine(attn + "value", A, C),
        .output = add_affine(attn + "output", C, A),
        .inv_freq = parameters_.add(rotary_frequencies(attn, config_.head_size)),
        .x_state = shift_ ? add_token_shift(attn + "x") : 0,
        .keys = add_state({attn + "keys", StateKind::history, {A}}),
        .values = add_state({attn + "values", StateKind::history, {A}}),
    };
  }

  bool shift_;
  int64_t heads_;
  std::vector<RotaryAttention> layers_;
};

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  const Shape* inv_freq = find_shape(shapes, rotary_frequencies_name("blocks.0.attn."));
  std::optional<ModelConfig> config = recognize_rwkv1(shapes, "mha_rotary");
  const bool pro =
      find_shape(shapes, "blocks.0.attn.time_w") || find_shape(shapes, "blocks.0.attn.head_mix.weight");
  if (!config || !inv_freq || pro) return {};
  config->head_size = head_size_of(*inv_freq);
  return config;
}

}  // namespace

AVIARY_MODEL(mha_rotary){
    .name = "mha_rotary",
    .title = "MHA_rotary",
    .year = 2021,
    .recurrence = "softmax attention with rotary embeddings, GeGLU",
    .source = "RWKV-LM RWKV-v1; arXiv 1706.03762, 2104.09864, 2002.05202",
    .news = "standard attention of the time, with which RWKV-1 was compared",
    .recipes = {"v1"},
    .buffers = {".attn.mask"},
    .options = {&option::head_qk, &option::head_qk_max, &option::small_init_emb_ln0, &option::ffn_gate,
                &option::ffn_relu_squared},
    .recognize = recognize,
    .complete = [](ModelConfig config) { return complete_rwkv1(std::move(config), 4, 3); },
    .create = create_as<MhaRotary>,
    .training = [](const std::string&) { return rwkv1_training(4e-4, 0.01); },
};

AVIARY_MODEL(mha_rotary_shift){
    .name = "mha_rotary_shift",
    .title = "MHA_shift",
    .year = 2021,
    .recurrence = "softmax attention with rotary embeddings, GeGLU, token shift",
    .source = "RWKV-LM RWKV-v1",
    .news = "half of the channels come from the previous token",
    .recipes = {"v1"},
    .buffers = {".attn.mask"},
    .options = {&option::head_qk, &option::head_qk_max, &option::token_shift, &option::small_init_emb_ln0,
                &option::ffn_gate, &option::ffn_relu_squared},
    .twin = "mha_rotary",
    .recognize = [](const ShapeMap&) -> std::optional<ModelConfig> { return {}; },
    .complete = [](ModelConfig config) { return complete_rwkv1(std::move(config), 4, 3); },
    .create = create_as<MhaRotary>,
    .training = [](const std::string&) { return rwkv1_training(4e-4, 0.01); },
};

}  // namespace aviary
