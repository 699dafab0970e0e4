// RWKV-7a: RWKV-7 with DeepEmbed in its channel mixing (RWKV-LM, RWKV-v7/rwkv_v7a_demo.py; the checkpoints
// rwkv7a-g1). No trainer of it was published: the initial values of the added parameters are ours; with them
// the model equals RWKV-7.
#include "models/deep_embed.h"

namespace aviary {
namespace {

struct Rwkv7aBlock {
  Rwkv7Block layers;
  DeepEmbed deep;
};

class Rwkv7a final : public DeepEmbedLayers {
 public:
  Rwkv7a(const ModelConfig& config, Dtype dtype) : DeepEmbedLayers(config, dtype) {
    build(frame(), [this](int64_t layer) {
      const std::string ffn = fmt::format("blocks.{}.ffn", layer);
      blocks_.push_back({add_block(layer), add_deep_embed(parameters_, ffn, config_)});
    });
  }

 private:
  void block(Context& c, size_t layer, Stream& s) override {
    auto& [p, deep] = blocks_[layer];
    s.x = time_mix(c, p.att, layer_norm(c, s.x, p.ln1), s.x, s);
    s.x = channel_mix(c, p.ffn, deep, layer_norm(c, s.x, p.ln2), s);
  }

  std::vector<Rwkv7aBlock> blocks_;
};

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  if (!find_in_blocks(shapes, "ffn.s_emb.weight") || find_in_blocks(shapes, "qkv.qq.weight")) return {};
  return recognize_rwkv7("rwkv7a", shapes);
}

}  // namespace

AVIARY_MODEL(rwkv7a){
    .name = "rwkv7a",
    .title = "RWKV-7a",
    .year = 2025,
    .recurrence = "RWKV-7's; FFN keys times a matrix looked up for the token",
    .source = "RWKV-LM RWKV-v7/rwkv_v7a_demo.py",
    .news = "DeepEmbed: channel mixing looks up a matrix for the token",
    .recipes = {"v7"},
    .no_golden = "no trainer of it was published; its outputs are in the full reference data",
    .recognize = recognize,
    .complete = complete_rwkv7,
    .create = create_as<Rwkv7a>,
    .training = train_like_rwkv7,
};

}  // namespace aviary
