#include "models/rwkv1_skeleton.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace aviary {

Rwkv1Skeleton::Rwkv1Skeleton(const ModelConfig& config, Dtype dtype, Kind kind)
    : Model(config, dtype),
      kind_(kind),
      distances_(shift_distances(config.has(option::token_shift) ? config.text(option::token_shift) : "1,0",
                                 config.n_embd)),
      depth_(std::max(1, *std::max_element(distances_.begin(), distances_.end()))) {}

void Rwkv1Skeleton::block(Context& c, size_t layer, Stream& s) {
  Block& p = blocks_[layer];
  s.x = attention(c, layer, layer_norm(c, s.x, p.ln1), s.x, s.state);
  s.x = mix_channels(c, p.mlp, layer_norm(c, s.x, p.ln2), s.x, s.state);
}

Var Rwkv1Skeleton::mix_channels(Context& c, Mlp& p, Var x, const Var& residual, std::span<Var> state) {
  if (kind_.shift) x = token_shift(c, x, state[p.x_state]);
  Var k = linear(c, x, p.key);  // [N, F]
  if (p.value)
    k = mul(c, activate(c, kind_.rwkv ? Activation::mish : Activation::gelu, k), linear(c, x, *p.value));
  else
    k = activate(c, Activation::relu_squared, k);
  if (!p.receptance) return residual_linear(c, Branch::ffn, residual, k, p.weight);
  return residual_gate(c, Branch::ffn, residual, linear(c, x, *p.receptance), linear(c, k, p.weight));
}

// ---- The parameter table, with the initialization of the original trainer.

ModelFrame Rwkv1Skeleton::frame() const {
  const int64_t C = config_.n_embd, V = config_.vocab_size;
  const bool small = config_.has(option::small_init_emb_ln0);
  const double gain = 0.4 * std::sqrt(static_cast<double>(std::max(V, C)));
  const Initializer embedding = small              ? init::uniform(1e-4)
                                : kind_.orthogonal ? init::orthogonal(gain)
                                                   : start_of(V, C, 1);
  const Initializer copies = start_of(config_.number(option::head_qk), C, 0.01);
  return {.embedding = {"tok_emb", embedding},
          .first_norm = small ? "ln0" : "",
          .last_norm = "ln_f",
          .head = {"head", start_of(V, C, 0.4)},
          .head_qk = {.q = copies, .k = copies, .biased = true}};
}

void Rwkv1Skeleton::build(const std::function<void(const std::string&)>& add_attention) {
  const int64_t L = config_.ctx_len;
  time_out_ = &add_vector("time_out", {1, L, 1}, 1);
  Model::build(frame(), [&](int64_t layer) {
    const std::string block = fmt::format("blocks.{}.", layer);
    const Norm ln1 = add_norm(block + "ln1"), ln2 = add_norm(block + "ln2");
    add_attention(block + "attn.");
    blocks_.push_back({ln1, ln2, add_mlp(block + "mlp.")});
  });
  limit_context(L);
}

Initializer Rwkv1Skeleton::start_of(int64_t rows, int64_t cols, double scale) const {
  if (!kind_.orthogonal) return init::normal(0.01);
  if (scale == 0) return init::constant(0);
  const double tall = rows > cols ? std::sqrt(static_cast<double>(rows) / static_cast<double>(cols)) : 1;
  return init::orthogonal(scale * tall);
}

Affine Rwkv1Skeleton::add_affine(const std::string& name, int64_t rows, int64_t cols, bool starts_at_zero) {
  Weight& weight = parameters_.add(
      {name + ".weight", Use::out_in, {rows, cols}, start_of(rows, cols, starts_at_zero ? 0 : 1), true});
  return {weight, add_vector(name + ".bias", {rows}, 0)};
}

Rwkv1Skeleton::Mlp Rwkv1Skeleton::add_mlp(const std::string& name) {
  const int64_t C = config_.n_embd, F = config_.dim_ffn;
  Mlp mlp{.key = add_affine(name + "key", F, C),
          .weight = add_affine(name + "weight", C, F, true),
          .value = {},
          .receptance = {},
          .x_state = kind_.shift ? add_token_shift(name + "x") : 0};
  if (!config_.has(option::ffn_relu_squared)) mlp.value.emplace(add_affine(name + "value", F, C));
  if (kind_.rwkv || config_.has(option::ffn_gate))
    mlp.receptance.emplace(add_affine(name + "receptance", C, C, true));
  return mlp;
}

// ---- Sizes

ModelConfig complete_rwkv1(ModelConfig config, int64_t heads_of, double ffn) {
  constexpr int64_t usual_context = 256, copies = 256;
  if (!config.dim_att) config.dim_att = config.n_embd;
  const int64_t A = config.dim_att;
  if (heads_of == 0)
    require(config.head_size == 0, "{}: it has no heads, so no head size ({} was given)", config.version,
            config.head_size);
  if (heads_of > 0) {
    if (!config.head_size) config.head_size = A % 64 == 0 ? 64 : A % 32 == 0 ? 32 : 8;
    require(config.head_size % heads_of == 0 && A % config.head_size == 0,
            "{}: width {} with heads of {}: the head size must be a multiple of {} that divides the width",
            config.version, A, config.head_size, heads_of);
  }
  if (!config.dim_ffn) config.dim_ffn = static_cast<int64_t>(ffn * static_cast<double>(config.n_embd));
  if (!config.ctx_len) config.ctx_len = usual_context;
  if (!config.has(option::head_qk)) config.set(option::head_qk, copies);
  return config;
}

std::optional<ModelConfig> recognize_rwkv1(const ShapeMap& shapes, const char* version) {
  ModelConfig config{.version = version,
                     .n_layer = count_blocks(shapes),
                     .n_embd = find_size(shapes, "tok_emb.weight", 1),
                     .vocab_size = find_size(shapes, "tok_emb.weight", 0),
                     .dim_att = find_size(shapes, "blocks.0.attn.key.weight", 0),
                     .dim_ffn = find_size(shapes, "blocks.0.mlp.key.weight", 0),
                     .ctx_len = find_size(shapes, "time_out", 1)};
  // For each, one of its two tensors shows that both should exist.
  auto has = [&](const std::string& name) {
    return find_shape(shapes, name + ".weight") || find_shape(shapes, name + ".bias");
  };
  config.set(option::small_init_emb_ln0, int64_t{has("ln0")});
  if (model_version(version).find_option(option::ffn_gate.name)) {
    config.set(option::ffn_gate, int64_t{has("blocks.0.mlp.receptance")});
    config.set(option::ffn_relu_squared, int64_t{!has("blocks.0.mlp.value")});
  }
  for (int64_t size : {config.n_embd, config.dim_att, config.dim_ffn, config.ctx_len})
    if (size == 0) return {};
  return config;
}

TrainingRecipe rwkv1_training(double learning_rate, double weight_decay) {
  return {.learning_rate = learning_rate, .epsilon = 4e-9, .weight_decay = weight_decay, .l2wrap = false};
}

}  // namespace aviary
