// RWKV-8 "Heron", release candidate rc00: RWKV-7 with channel mixing scaled by a table row looked up for the
// token (RWKV-LM, RWKV-v7/rwkv_v8_rc00_demo.py; the checkpoints rwkv-8-pile). No trainer of it was published:
// the rows are initialized to 1; with them the model equals RWKV-7.
#include "models/deep_embed.h"

namespace aviary {
namespace {

struct Rwkv8Block {
  Rwkv7Block layers;
  Weight& enn;  // [V, C]
};

class Rwkv8 final : public DeepRowLayers {
 public:
  Rwkv8(const ModelConfig& config, Dtype dtype) : DeepRowLayers(config, dtype) {
    build(frame(), [this](int64_t layer) {
      const std::string enn = fmt::format("blocks.{}.ffn.enn", layer);
      blocks_.push_back({add_block(layer), add_rows(enn, config_.n_embd)});
    });
  }

 private:
  void block(Context& c, size_t layer, Stream& s) override {
    auto& [p, enn] = blocks_[layer];
    s.x = time_mix(c, p.att, layer_norm(c, s.x, p.ln1), s.x, s);
    s.x = channel_mix(c, p.ffn, enn, layer_norm(c, s.x, p.ln2), s);
  }

  std::vector<Rwkv8Block> blocks_;
};

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  if (!find_in_blocks(shapes, "ffn.enn.weight") || find_in_blocks(shapes, "qkv.qq.weight")) return {};
  return recognize_rwkv7("rwkv8", shapes);
}

}  // namespace

AVIARY_MODEL(rwkv8){
    .name = "rwkv8",
    .title = "RWKV-8 Heron",
    .year = 2025,
    .recurrence = "RWKV-7's; FFN output times a row looked up for the token",
    .source = "RWKV-LM RWKV-v7/rwkv_v8_rc00_demo.py",
    .news = "DeepEmbed as a row: channel mixing is scaled by a row looked up for the token",
    .recipes = {"v7"},
    .no_golden = "no trainer of it was published; its outputs are in the full reference data",
    .recognize = recognize,
    .complete = complete_rwkv7,
    .create = create_as<Rwkv8>,
    .training = train_like_rwkv7,
};

}  // namespace aviary
