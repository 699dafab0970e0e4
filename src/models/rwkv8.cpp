// RWKV-8 "Heron", release candidate rc00: RWKV-7 whose channel mixing is scaled by a row that is looked up
// for the token (RWKV-LM, RWKV-v7/rwkv_v8_rc00_demo.py; the checkpoints rwkv-8-pile). No trainer of it was
// published: the rows start at 1, which leaves RWKV-7 as it is.
#include "models/rwkv7.h"

namespace aviary {
namespace {

struct Rwkv8Block {
  Norm ln1, ln2;
  Rwkv7TimeMix att;
  Rwkv7ChannelMix ffn;
  Weight& enn;  // [V, C]
};

class Rwkv8 final : public Rwkv7Layers {
 public:
  Rwkv8(const ModelConfig& config, Dtype dtype);

  Var hidden(Context& c, std::span<const int32_t> tokens, std::span<Var> state) override {
    Var x = embedding(c, *emb_, tokens);  // [N, C]
    x = layer_norm(c, x, *ln0_);
    Var v_first;
    for (Rwkv8Block& block : blocks_) {
      x = time_mix(c, block.att, layer_norm(c, x, block.ln1), x, v_first, state);
      Var k = channel_keys(c, block.ffn, layer_norm(c, x, block.ln2), state);  // [N, F]
      Var y = mul(c, linear(c, k, block.ffn.value), embedding(c, block.enn, tokens));
      x = add_branch(c, Branch::ffn, x, y);
      c.end_layer(x);
    }
    return layer_norm(c, x, *ln_out_);
  }
  Weight& head() override { return *head_; }

 private:
  Weight *emb_, *head_;
  std::optional<Norm> ln0_, ln_out_;
  std::vector<Rwkv8Block> blocks_;
};

Rwkv8::Rwkv8(const ModelConfig& config, Dtype dtype) : Rwkv7Layers(config, dtype) {
  emb_ = &add_embedding("emb");
  for (int64_t layer = 0; layer < config.n_layer; ++layer) {
    const std::string block = fmt::format("blocks.{}.", layer);
    if (layer == 0) ln0_.emplace(add_norm(block + "ln0"));
    Norm ln1 = add_norm(block + "ln1"), ln2 = add_norm(block + "ln2");
    Rwkv7TimeMix att = add_time_mix(block + "att", layer);
    Rwkv7ChannelMix ffn = add_channel_mix(block + "ffn", layer);
    Weight& enn = parameters_.add(
        {block + "ffn.enn.weight", Use::table, {config.vocab_size, config.n_embd}, init::constant(1)});
    blocks_.push_back({ln1, ln2, att, ffn, enn});
  }
  ln_out_.emplace(add_norm("ln_out"));
  head_ = &add_head("head");
}

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  if (!find_in_blocks(shapes, "ffn.enn.weight") || find_in_blocks(shapes, "qkv.qq.weight")) return {};
  return recognize_rwkv7("rwkv8", shapes);
}

}  // namespace

AVIARY_MODEL(rwkv8){
    .name = "rwkv8",
    .title = "RWKV-8 Heron",
    .year = 2025,
    .recurrence = "RWKV-7's; FFN output times a row of the token",
    .source = "RWKV-LM RWKV-v7/rwkv_v8_rc00_demo.py",
    .news = "DeepEmbed as a row: channel mixing is scaled by what is looked up for the token",
    .recipes = {"v7"},
    .recognize = recognize,
    .complete = complete_rwkv7,
    .create = [](const ModelConfig& config, Dtype dtype) -> std::unique_ptr<Model> {
      return std::make_unique<Rwkv8>(config, dtype);
    },
    .training = train_like_rwkv7,
};

}  // namespace aviary
