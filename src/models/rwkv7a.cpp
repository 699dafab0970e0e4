// RWKV-7a: RWKV-7 with DeepEmbed in its channel mixing (RWKV-LM, RWKV-v7/rwkv_v7a_demo.py; the checkpoints
// rwkv7a-g1). No trainer of it was published: the start values of what it adds are ours, and leave RWKV-7 as
// it is.
#include "models/deep_embed.h"
#include "models/rwkv7.h"

namespace aviary {
namespace {

struct Rwkv7aBlock {
  Norm ln1, ln2;
  Rwkv7TimeMix att;
  Rwkv7ChannelMix ffn;
  DeepEmbed deep;
};

class Rwkv7a final : public Rwkv7Layers {
 public:
  Rwkv7a(const ModelConfig& config, Dtype dtype);

  Var hidden(Context& c, std::span<const int32_t> tokens, std::span<Var> state) override {
    const Var emb = layer_norm(c, embedding(c, *emb_, tokens), *ln0_);  // [N, C]
    Var x = emb, v_first;
    for (Rwkv7aBlock& block : blocks_) {
      x = time_mix(c, block.att, layer_norm(c, x, block.ln1), x, v_first, state);
      Var z = layer_norm(c, x, block.ln2);
      Var k = channel_keys(c, block.ffn, z, state);             // [N, F]
      Var rows = token_rows(c, block.deep.s_emb, tokens, emb);  // [N, R R]
      k = mul(c, k, deep_embed(c, block.deep, z, rows));
      x = residual_linear(c, Branch::ffn, x, k, block.ffn.value);
      c.end_layer(x);
    }
    return layer_norm(c, x, *ln_out_);
  }
  Weight& head() override { return *head_; }

 private:
  Weight *emb_, *head_;
  std::optional<Norm> ln0_, ln_out_;
  std::vector<Rwkv7aBlock> blocks_;
};

Rwkv7a::Rwkv7a(const ModelConfig& config, Dtype dtype) : Rwkv7Layers(config, dtype) {
  emb_ = &add_embedding("emb");
  for (int64_t layer = 0; layer < config.n_layer; ++layer) {
    const std::string block = fmt::format("blocks.{}.", layer);
    if (layer == 0) ln0_.emplace(add_norm(block + "ln0"));
    Norm ln1 = add_norm(block + "ln1"), ln2 = add_norm(block + "ln2");
    Rwkv7TimeMix att = add_time_mix(block + "att", layer);
    Rwkv7ChannelMix ffn = add_channel_mix(block + "ffn", layer);
    blocks_.push_back({ln1, ln2, att, ffn, add_deep_embed(parameters_, block + "ffn", config_)});
  }
  ln_out_.emplace(add_norm("ln_out"));
  head_ = &add_head("head");
}

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  if (!find_in_blocks(shapes, "ffn.s_emb.weight") || find_in_blocks(shapes, "qkv.qq.weight")) return {};
  return recognize_rwkv7("rwkv7a", shapes);
}

}  // namespace

AVIARY_MODEL(rwkv7a){
    .name = "rwkv7a",
    .title = "RWKV-7a",
    .year = 2025,
    .recurrence = "RWKV-7's; FFN keys times a matrix of the token",
    .source = "RWKV-LM RWKV-v7/rwkv_v7a_demo.py",
    .news = "DeepEmbed: channel mixing looks up a matrix for the token",
    .recipes = {"v7"},
    .recognize = recognize,
    .complete = complete_rwkv7,
    .create = [](const ModelConfig& config, Dtype dtype) -> std::unique_ptr<Model> {
      return std::make_unique<Rwkv7a>(config, dtype);
    },
    .training = train_like_rwkv7,
};

}  // namespace aviary
