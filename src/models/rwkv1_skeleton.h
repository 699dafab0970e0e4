// What RWKV-1 and the models it was compared with have in common (RWKV-LM, RWKV-v1/src/model.py): blocks of
// attention and a gated channel mixing behind layer norms, Head-QK, and a factor for every position in front
// of the output matrix, which binds them to their context length. All matrices but the last have biases.
#pragma once

#include <cmath>

#include "models/model.h"

namespace aviary {

namespace option {
inline constexpr ModelOption small_init_emb_ln0{
    .name = "small_init_emb", .help = "The embedding starts tiny, and a layer norm follows it"};
inline constexpr ModelOption ffn_gate{.name = "ffn_gate",
                                      .help = "A receptance in the channel mixing of an attention model"};
inline constexpr ModelOption ffn_relu_squared{
    .name = "ffn_relu_squared",
    .help = "Squared ReLU instead of GeGLU in the channel mixing of an attention model"};
}  // namespace option

class Rwkv1Skeleton : public Model {
 public:
  Weight& head() override { return *head_; }

 protected:
  // What differs outside the attention.
  struct Kind {
    bool rwkv;                // channel mixing with mish and a receptance; otherwise GeGLU
    bool shift;               // both layers see half of the channels of the token before
    bool orthogonal = false;  // matrices start orthogonal or at 0; otherwise small and normal
  };
  Rwkv1Skeleton(const ModelConfig& config, Dtype dtype, Kind kind);

  // The table of parameters; add_attention("blocks.0.attn.") adds those of a layer.
  template <typename AddAttention>
  void build(AddAttention add_attention);

  // x, which is behind a layer norm, after the attention of a layer, plus residual.
  virtual Var attention(Context& c, size_t layer, const Var& x, const Var& residual,
                        std::span<Var> state) = 0;

  // x [N, C] with the first half of its channels from the row above.
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

  Var hidden(Context& c, std::span<const int32_t> tokens, std::span<Var> state) override;
  // Early tokens are less sure of what comes.
  Var before_head(Context& c, const Var& x) override { return scale_by_position(c, x, *time_out_); }
  Var mix_channels(Context& c, Mlp& p, Var x, const Var& residual, std::span<Var> state);
  Mlp add_mlp(const std::string& name);
  Initializer start_of(int64_t rows, int64_t cols, double scale) const;

  Kind kind_;
  std::vector<int32_t> distances_;  // of the token shift, by channel
  int64_t depth_;                   // the longest
  Weight *time_out_, *tok_emb_, *head_;
  std::vector<Block> blocks_;
  std::optional<Norm> ln0_, ln_f_;
};

// Fills in what the config leaves open; throws Error for sizes that cannot be. heads_of: a head's size must
// be a multiple of it, 0 for a version without heads; ffn: dim_ffn = ffn * n_embd.
ModelConfig complete_rwkv1(ModelConfig config, int64_t heads_of, double ffn);
// The sizes of a checkpoint, without that of a head; none when there is no such skeleton.
std::optional<ModelConfig> recognize_rwkv1(const ShapeMap& shapes, const char* version);
TrainingRecipe rwkv1_training(double learning_rate, double weight_decay);

template <typename AddAttention>
void Rwkv1Skeleton::build(AddAttention add_attention) {
  const int64_t C = config_.n_embd, V = config_.vocab_size, L = config_.ctx_len;
  const double emb_gain = 0.4 * std::sqrt(static_cast<double>(std::max(V, C)));
  time_out_ = &add_vector("time_out", {1, L, 1}, 1);
  tok_emb_ = &parameters_.add({"tok_emb.weight",
                               Use::table,
                               {V, C},
                               kind_.orthogonal ? init::orthogonal(emb_gain) : start_of(V, C, 1)});
  if (config_.has(option::small_init_emb_ln0)) ln0_.emplace(add_small_embedding("tok_emb.weight"));
  for (int64_t layer = 0; layer < config_.n_layer; ++layer) {
    const std::string block = fmt::format("blocks.{}.", layer);
    const Norm ln1 = add_norm(block + "ln1"), ln2 = add_norm(block + "ln2");
    add_attention(block + "attn.");
    blocks_.push_back({ln1, ln2, add_mlp(block + "mlp.")});
  }
  ln_f_.emplace(add_norm("ln_f"));
  head_ = &parameters_.add({"head.weight", Use::out_in, {V, C}, start_of(V, C, 0.4)});
  const int64_t D = config_.number(option::head_qk);
  const Initializer copies = start_of(D, C, 0.01);
  add_head_qk(D, true, copies, copies);
  limit_context(L);
}

}  // namespace aviary
