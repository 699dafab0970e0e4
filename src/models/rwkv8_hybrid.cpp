// RWKV-8 "Heron", release candidate rc00 hybrid: RWKV-8 with attention in parallel to time mixing; its keys
// and values are scaled by table rows looked up for the token (RWKV-LM, RWKV-v7/rwkv_v8_rc00_hybrid_demo.py;
// the checkpoints rwkv-8-pile). The embedding is used as stored; ln0 is not used, because it is already
// merged into the embedding. No trainer of it was published: the initial values of the parameters added to
// RWKV-7 are ours; with them the model equals RWKV-7.
#include <cmath>

#include "models/deep_embed.h"

namespace aviary {
namespace {

constexpr int64_t key_size = 256;  // D
constexpr int64_t rank = 32;       // R, of the matrices that compute keys and values
constexpr double score_cap = 32;   // scores are 32 tanh(q k / 512)
constexpr double score_scale = score_cap / 512;

struct HybridAttention {
  Weight& qq;          // [D, C]
  Weight &kk, &kkup;   // [R, C], [D, R]
  Weight &vv, &vvup;   // [R, C], [C, R]
  Weight &ennk, &emm;  // [V, D], [V, C]
  Norm lnq, lnk, lnv;
  size_t keys, values;
};

struct HybridBlock {
  Norm ln1, ln2;
  Rwkv7TimeMix att;
  HybridAttention qkv;
  Rwkv7ChannelMix ffn;
  Weight& enn;  // [V, C]
};

class Rwkv8Hybrid final : public DeepRowLayers {
 public:
  Rwkv8Hybrid(const ModelConfig& config, Dtype dtype) : DeepRowLayers(config, dtype) {
    ModelFrame around = frame();
    around.embedding = {"emb", init::uniform(std::sqrt(3.0))};  // variance 1, as if normalized
    around.first_norm.clear();
    build(around, [this](int64_t layer) {
      const std::string block = fmt::format("blocks.{}.", layer);
      if (layer == 0) add_unused_norm(block + "ln0");
      blocks_.push_back({add_norm(block + "ln1"), add_norm(block + "ln2"), add_time_mix(block + "att", layer),
                         add_attention(block + "qkv"), add_channel_mix(block + "ffn", layer),
                         add_rows(block + "ffn.enn", config_.n_embd)});
    });
  }

 private:
  void block(Context& c, size_t layer, Stream& s) override {
    HybridBlock& p = blocks_[layer];
    Var y = add_branch(c, Branch::att, s.x, attention(c, p.qkv, s));
    s.x = time_mix(c, p.att, layer_norm(c, s.x, p.ln1), y, s);
    s.x = channel_mix(c, p.ffn, p.enn, layer_norm(c, s.x, p.ln2), s);
  }

  // For the input of the block, which is not normalized: [N, C].
  Var attention(Context& c, HybridAttention& p, Stream& s) {
    Var q = layer_norm(c, linear(c, s.x, p.qq), p.lnq);                              // [N, D]
    Var k = linear(c, linear(c, s.x, p.kk), p.kkup);                                 // [N, D]
    Var v = activate(c, Activation::tanh, linear(c, linear(c, s.x, p.vv), p.vvup));  // [N, C]
    k = layer_norm(c, mul(c, k, embedding(c, p.ennk, s.tokens)), p.lnk);
    v = layer_norm(c, mul(c, v, embedding(c, p.emm, s.tokens)), p.lnv);
    append_history(c, k, s.state[p.keys]);
    append_history(c, v, s.state[p.values]);
    return aviary::attention(c, q, s.state[p.keys], s.state[p.values],
                             {.scale = score_scale, .cap = score_cap});
  }

  void add_unused_norm(const std::string& name) {
    for (const char* part : {".weight", ".bias"})
      parameters_.add({.name = name + part,
                       .use = Use::vector,
                       .shape = {config_.n_embd},
                       .initialize = init::constant(part[1] == 'w'),
                       .optional = true});
  }
  HybridAttention add_attention(const std::string& name);

  std::vector<HybridBlock> blocks_;
};

HybridAttention Rwkv8Hybrid::add_attention(const std::string& name) {
  const int64_t C = config_.n_embd, D = key_size;
  auto matrix = [&](const char* which, int64_t rows, int64_t cols) -> Weight& {
    return parameters_.add({name + which + ".weight", Use::out_in, {rows, cols}, init::orthogonal(1), true});
  };
  auto history = [&](const char* which, int64_t width) {
    return add_state({name + which, StateKind::history, {width}});
  };
  return {.qq = matrix(".qq", D, C),
          .kk = matrix(".kk", rank, C),
          .kkup = matrix(".kkup", D, rank),
          .vv = matrix(".vv", rank, C),
          .vvup = matrix(".vvup", C, rank),
          .ennk = add_rows(name + ".ennk", D),
          .emm = add_rows(name + ".emm", C),
          .lnq = add_norm(name + ".lnq", 1, D),
          .lnk = add_norm(name + ".lnk", 1, D),
          .lnv = add_norm(name + ".lnv", 0),  // initially the layer adds nothing
          .keys = history(".keys", D),
          .values = history(".values", C)};
}

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  if (!find_in_blocks(shapes, "qkv.emm.weight")) return {};
  return recognize_rwkv7("rwkv8-hybrid", shapes);
}

}  // namespace

AVIARY_MODEL(rwkv8_hybrid){
    .name = "rwkv8-hybrid",
    .title = "RWKV-8 hybrid",
    .year = 2025,
    .recurrence = "RWKV-8's, and attention with capped scores",
    .source = "RWKV-LM RWKV-v7/rwkv_v8_rc00_hybrid_demo.py",
    .news =
        "attention in parallel to time mixing, its keys and values scaled by rows looked up for the token",
    .recipes = {"v7"},
    .no_golden = "no trainer of it was published; its outputs are in the full reference data",
    .recognize = recognize,
    .complete = complete_rwkv7,
    .create = create_as<Rwkv8Hybrid>,
    .training = train_like_rwkv7,
};

}  // namespace aviary
