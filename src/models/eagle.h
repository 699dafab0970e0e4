// Shared by RWKV-5, RWKV-6 and their variants, in addition to the recurrence (ops/wkv6.cpp): sizes, initial
// values of vectors in the original trainers, training recipe.
#pragma once

#include "base/error.h"
#include "models/block_table.h"
#include "models/registry.h"

namespace aviary {

// Epsilon of the group norm after the recurrence. The trainers of RWKV-5 divide by 8 first and use 1e-5,
// which is equivalent.
constexpr double eagle_epsilon = 64e-5;

inline ModelConfig complete_eagle(ModelConfig config) {
  if (!config.dim_att) config.dim_att = config.n_embd;
  const int64_t A = config.dim_att;
  if (!config.head_size) config.head_size = A % 64 == 0 ? 64 : A % 32 == 0 ? 32 : 8;
  require(
      config.head_size % 8 == 0 && config.head_size <= kernels::wkv_max_head_size &&
          A % config.head_size == 0,
      "{}: width {} with heads of {}: the head size must be a multiple of 8 up to {} that divides the width",
      config.version, A, config.head_size, kernels::wkv_max_head_size);
  if (!config.dim_ffn) config.dim_ffn = std::max<int64_t>(7 * config.n_embd / 2 / 32 * 32, 32);
  return config;
}

// The sizes that follow from the same tensors in all of them, if these exist.
inline std::optional<ModelConfig> recognize_eagle(const ShapeMap& shapes) {
  const Shape* emb = find_shape(shapes, "emb.weight");
  if (!emb) emb = find_shape(shapes, "head.weight");
  const Shape* norm = find_in_blocks(shapes, "att.ln_x.weight");
  const Shape* key = find_in_blocks(shapes, "ffn.key.weight");
  if (!emb || !norm || !key || emb->rank() != 2 || norm->rank() != 1 || key->rank() != 2) return {};
  return ModelConfig{.version = "",
                     .n_layer = count_blocks(shapes),
                     .n_embd = (*emb)[1],
                     .vocab_size = (*emb)[0],
                     .dim_att = (*norm)[0],
                     .dim_ffn = (*key)[0]};
}

// RWKV-LM, RWKV-v5.
inline TrainingRecipe eagle_recipe() {
  return {.learning_rate = 6e-4, .epsilon = 1e-18, .weight_decay = 1e-3};
}

// The layers around the blocks: the embedding is initialized within `bound` of 0; decay: whether it and the
// output matrix have weight decay.
inline ModelFrame eagle_frame(const ModelConfig& config, double bound = 1e-4, bool decay = true) {
  const double gain = 0.5 * tall_gain(config.vocab_size, config.n_embd);
  return {.embedding = {"emb", init::uniform(bound), decay}, .head = {"head", init::orthogonal(gain), decay}};
}

// The parameter table of one block. The previews of RWKV-5 were trained like RWKV-4.
class EagleTable : public BlockTable {
 public:
  using BlockTable::BlockTable;

  bool preview() const { return config().version == "rwkv5.0" || config().version == "rwkv5.1"; }

  // Initialized orthogonal times gain, or 0; with weight decay. In previews, nonzero ones have the gain of
  // RWKV-4.
  Weight& matrix(const std::string& name, int64_t rows, int64_t cols, double gain) {
    if (preview()) return BlockTable::matrix(name, rows, cols, gain == 0);
    return parameter(name + ".weight", Use::out_in, {rows, cols},
                     gain == 0 ? init::constant(0) : init::orthogonal(gain), 1, true);
  }
  // Decays, from slow to fast over the channels or heads, with a larger spread in deeper layers.
  Weight& time_decay(Shape shape) {
    const int64_t count = shape.count();
    return vector(
        "att.time_decay", shape,
        [=, power = 0.7 + 1.3 * depth()](int64_t i) { return -6 + 5 * std::pow(across(i, count), power); },
        2);
  }
  // Weights of the current token, larger in deeper layers, with a zigzag over channels.
  Weight& time_faaaa(Shape shape) {
    const int64_t count = shape.count();
    return vector("att.time_faaaa", shape, [=, depth = depth(), zigzag = preview() ? 0 : 0.1](int64_t i) {
      return depth * (1 - across(i, count)) + zigzag * static_cast<double>((i + 1) % 3 - 1);
    });
  }
  // The norm after the recurrence.
  Norm ln_x() {
    const int64_t A = config().dim_att;
    const double layers = static_cast<double>(config().n_layer), layer = (1 - rest()) * layers;
    Weight& weight =
        parameter("att.ln_x.weight", Use::vector, {A}, init::constant(std::pow((1 + layer) / layers, 0.7)));
    return {weight, parameter("att.ln_x.bias", Use::vector, {A}, init::constant(0))};
  }
  size_t wkv_state() {
    const int64_t n = config().head_size;
    return recurrence("att.wkv", {config().dim_att / n, n, n}, 0, WhenTuned::trained);
  }
  // Channel mixing with the given two token shift mixtures.
  ChannelMix channel_mix(Weight& mix_k, Weight& mix_r) {
    const int64_t C = config().n_embd, F = config().dim_ffn;
    return {
        .mix_k = mix_k,
        .mix_r = mix_r,
        .key = matrix("ffn.key", F, C, 1),
        .receptance = matrix("ffn.receptance", C, C, 0),
        .value = matrix("ffn.value", C, F, 0),
        .x_state = shift_state("ffn.x"),
    };
  }

 private:
  static double across(int64_t i, int64_t count) {
    return static_cast<double>(i) / static_cast<double>(std::max<int64_t>(count - 1, 1));
  }
};

}  // namespace aviary
