// Shared by RWKV-1 and the models it was compared with (RWKV-LM, RWKV-v1/src/model.py): blocks of attention
// and gated channel mixing, each after a layer norm, Head-QK, and a factor for every position before the
// output matrix, which limits them to their context length. All matrices except the last have biases.
#pragma once

#include "models/registry.h"

namespace aviary {

namespace option {
inline constexpr ModelOption small_init_emb_ln0{
    .name = "small_init_emb",
    .help = "The embedding has a small initialization and is followed by a layer norm"};
inline constexpr ModelOption ffn_gate{.name = "ffn_gate",
                                      .help = "A receptance in the channel mixing of an attention model"};
inline constexpr ModelOption ffn_relu_squared{
    .name = "ffn_relu_squared",
    .help = "Squared ReLU instead of GeGLU in the channel mixing of an attention model"};
}  // namespace option

class Rwkv1Skeleton : public Model {
 protected:
  // The differences outside the attention.
  struct Kind {
    bool rwkv;                // channel mixing with mish and a receptance; otherwise GeGLU
    bool shift;               // both layers see half of the channels of the previous token
    bool orthogonal = false;  // matrices start orthogonal or 0; otherwise small and normal
  };
  Rwkv1Skeleton(const ModelConfig& config, Dtype dtype, Kind kind);

  // Builds the parameter table; add_attention("blocks.0.attn.") adds the parameters of a layer.
  void build(const std::function<void(const std::string& attn)>& add_attention);

  // The attention of a layer for x, the output of a layer norm, plus residual.
  virtual Var attention(Context& c, size_t layer, const Var& x, const Var& residual,
                        std::span<Var> state) = 0;

  // x [N, C] with the first half of its channels taken from the previous row.
  Var token_shift(Context& c, const Var& x, Var& state) { return token_delay(c, x, state, distances_); }
  size_t add_token_shift(const std::string& name) {
    return add_state({name, StateKind::shift, {depth_, config_.n_embd}});
  }

  Affine add_affine(const std::string& name, int64_t rows, int64_t cols, bool starts_at_zero = false);
  Weight& add_vector(const std::string& name, Shape shape, double value) {
    return parameters_.add({name, Use::vector, shape, init::constant(value)});
  }

 private:
  struct Mlp {
    Affine key, weight;                // [F, C], [C, F]
    std::optional<Affine> value;       // [F, C]; without it, squared ReLU
    std::optional<Affine> receptance;  // [C, C]
    size_t x_state;
  };
  struct Block {
    Norm ln1, ln2;
    Mlp mlp;
  };

  void block(Context& c, size_t layer, Stream& s) override;
  // Smaller for early tokens, whose predictions are less certain.
  Var before_head(Context& c, const Var& x) override { return scale_by_position(c, x, *time_out_); }
  Var mix_channels(Context& c, Mlp& p, Var x, const Var& residual, std::span<Var> state);
  Mlp add_mlp(const std::string& name);
  ModelFrame frame() const;
  Initializer start_of(int64_t rows, int64_t cols, double scale) const;

  Kind kind_;
  std::vector<int32_t> distances_;  // of the token shift, for each channel
  int64_t depth_;                   // the longest
  Weight* time_out_ = nullptr;
  std::vector<Block> blocks_;
};

// Fills in the sizes that the config leaves open; throws Error for invalid sizes. heads_of: the head size
// must be a multiple of it, 0 for a version without heads; ffn: dim_ffn = ffn * n_embd.
ModelConfig complete_rwkv1(ModelConfig config, int64_t heads_of, double ffn);
// The sizes of a checkpoint, without the head size; nothing if it does not have this skeleton.
std::optional<ModelConfig> recognize_rwkv1(const ShapeMap& shapes, const char* version);
TrainingRecipe rwkv1_training(double learning_rate, double weight_decay);

}  // namespace aviary
