// The parts of RWKV-7, for the versions that share them: rwkv7a, rwkv7b, rwkv8. Defined in rwkv7.cpp.
#pragma once

#include "models/registry.h"

namespace aviary {

struct Rwkv7TimeMix {
  Weight &x_r, &x_w, &x_k, &x_v, &x_a, &x_g;  // [1, 1, C] token shift
  Weight &w1, &w2, &w0, &a1, &a2, &a0, &v1, &v2, &v0, &g1, &g2;
  Weight &k_k, &k_a, &r_k;                    // [1, 1, C], [1, 1, C], [H, n]
  Weight &receptance, &key, &value, &output;  // [C, C]
  Weight &ln_x_weight, &ln_x_bias;            // [C]
  size_t x_state, wkv_state;
};

struct Rwkv7ChannelMix {
  Weight& x_k;    // [1, 1, C] token shift
  Weight& key;    // [F, C]
  Weight& value;  // [C, F]
  size_t x_state;
};

struct Rwkv7Block {
  Norm ln1, ln2;
  Rwkv7TimeMix att;
  Rwkv7ChannelMix ffn;
};

// A model with the layers of RWKV-7.
class Rwkv7Layers : public Model {
 protected:
  Rwkv7Layers(const ModelConfig& config, Dtype dtype)
      : Model(config, dtype), heads_(config.n_embd / config.head_size), v_first_(add_kept()) {}

  // residual + time mixing of x [N, C]. The first layer stores its values in the stream; the other layers mix
  // them into theirs.
  Var time_mix(Context& c, Rwkv7TimeMix& p, const Var& x, const Var& residual, Stream& s);
  // relu(W_k x')^2 [N, F], where x' is the shifted x: channel mixing before its second matrix.
  Var channel_keys(Context& c, Rwkv7ChannelMix& p, const Var& x, Stream& s);

  // The layers around the blocks, initialized as in the original trainer.
  ModelFrame frame() const;
  // Entries of the parameter table, with names beginning with `name`, and of the state.
  Rwkv7TimeMix add_time_mix(const std::string& name, int64_t layer);
  Rwkv7ChannelMix add_channel_mix(const std::string& name, int64_t layer);
  Rwkv7Block add_block(int64_t layer);

 private:
  int64_t heads_;
  size_t v_first_;  // of Stream::kept
};

// Fills in RWKV-7's sizes; throws Error for an invalid head size.
ModelConfig complete_rwkv7(ModelConfig config);

// The names, in a checkpoint, of the tensors from which its sizes follow.
struct Rwkv7Names {
  std::string embedding = "emb.weight", first_time_mix = "blocks.0.att.", second_time_mix = "blocks.1.att.",
              channel_mix = "blocks.0.ffn.";
};
// The config of a checkpoint of `version`, which has RWKV-7's layers; nothing if it has none.
std::optional<ModelConfig> recognize_rwkv7(const char* version, const ShapeMap& shapes,
                                           const Rwkv7Names& names = {});

// The training recipe of RWKV-7.
TrainingRecipe train_like_rwkv7(const std::string& recipe);

}  // namespace aviary
