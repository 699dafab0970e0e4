// The attention free transformer, AFT-full: Zhai et al. 2021, arXiv 2105.14103. Every channel is a weighted
// average over the past with weights e^(k_u + w[t, u]), where w is learned for every pair of positions. There
// is no original language model; this one uses the skeleton of RWKV-1's attention models.
#include "models/rwkv1_skeleton.h"

namespace aviary {
namespace {

struct AftAttention {
  Weight& w;                         // [L, L]
  Affine query, key, value, output;  // [A, C], [A, C], [A, C], [C, A]
  size_t keys, values;
};

class Aft final : public Rwkv1Skeleton {
 public:
  Aft(const ModelConfig& config, Dtype dtype)
      : Rwkv1Skeleton(config, dtype, {.rwkv = false, .shift = false}) {
    build([this](const std::string& attn) { layers_.push_back(add_attention(attn)); });
  }

 private:
  Var attention(Context& c, size_t layer, const Var& x, const Var& residual, std::span<Var> state) override {
    AftAttention& p = layers_[layer];
    Var q = linear(c, x, p.query);                                      // [N, A]
    Var k = append_history(c, linear(c, x, p.key), state[p.keys]);      // [S, capacity, A]
    Var v = append_history(c, linear(c, x, p.value), state[p.values]);  // [S, capacity, A]
    Var y = sigmoid_gate(c, q, aft_full(c, p.w, k, v));                 // [N, A]
    return residual_linear(c, Branch::att, residual, y, p.output);
  }

  AftAttention add_attention(const std::string& attn) {
    const int64_t C = config_.n_embd, A = config_.dim_att, L = config_.ctx_len;
    return {
        .w = add_vector(attn + "w", {L, L}, 0),
        .query = add_affine(attn + "query", A, C),
        .key = add_affine(attn + "key", A, C),
        .value = add_affine(attn + "value", A, C),
        .output = add_affine(attn + "output", C, A),
        .keys = add_state({attn + "keys", StateKind::history, {A}}),
        .values = add_state({attn + "values", StateKind::history, {A}}),
    };
  }

  std::vector<AftAttention> layers_;
};

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  if (!find_shape(shapes, "blocks.0.attn.w")) return {};
  return recognize_rwkv1(shapes, "aft");
}

}  // namespace

AVIARY_MODEL(aft){
    .name = "aft",
    .title = "AFT-full",
    .year = 2021,
    .recurrence = "y_t = sum of e^(k_u + w[t, u]) v_u / sum of e^(k_u + w[t, u]), per channel",
    .source = "arXiv 2105.14103",
    .news = "attention without products of queries and keys: a learned weight for every pair of positions",
    .recipes = {"v1"},
    .buffers = {".attn.mask"},
    .options = {&option::head_qk, &option::head_qk_max, &option::small_init_emb_ln0, &option::ffn_gate,
                &option::ffn_relu_squared},
    .recognize = recognize,
    .complete = [](ModelConfig config) { return complete_rwkv1(std::move(config), 0, 3); },
    .create = create_as<Aft>,
    .training = [](const std::string&) { return rwkv1_training(4e-4, 0.01); },
};

}  // namespace aviary
