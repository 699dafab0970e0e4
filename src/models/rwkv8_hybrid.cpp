// RWKV-8 "Heron", release candidate rc00 hybrid: RWKV-8 with attention beside time mixing, whose keys and
// values are scaled by rows of the token (RWKV-LM, RWKV-v7/rwkv_v8_rc00_hybrid_demo.py; the checkpoints
// rwkv-8-pile). The embedding is used as it is stored, ln0 is not: it is merged into the embedding already.
// No trainer of it was published: the start values of what it adds to RWKV-7 are ours, and leave that as it
// is.
#include <cmath>

#include "models/rwkv7.h"

namespace aviary {
namespace {

constexpr int64_t key_size = 256;  // D
constexpr int64_t rank = 32;       // R, of the matrices that make keys and values
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

class Rwkv8Hybrid final : public Rwkv7Layers {
 public:
  Rwkv8Hybrid(const ModelConfig& config, Dtype dtype);

  Var hidden(Context& c, std::span<const int32_t> tokens, std::span<Var> state) override {
    Var x = embedding(c, *emb_, tokens), v_first;  // [N, C]
    for (HybridBlock& block : blocks_) {
      Var y = add_branch(c, Branch::att, x, attention(c, block.qkv, x, tokens, state));
      x = time_mix(c, block.att, layer_norm(c, x, block.ln1), y, v_first, state);
      Var k = channel_keys(c, block.ffn, layer_norm(c, x, block.ln2), state);  // [N, F]
      y = mul(c, linear(c, k, block.ffn.value), embedding(c, block.enn, tokens));
      x = add_branch(c, Branch::ffn, x, y);
      c.end_layer(x);
    }
    return layer_norm(c, x, *ln_out_);
  }
  Weight& head() override { return *head_; }

 private:
  // x [N, C] is the input of the block, not normed.
  Var attention(Context& c, HybridAttention& p, const Var& x, std::span<const int32_t> tokens,
                std::span<Var> state) {
    Var q = layer_norm(c, linear(c, x, p.qq), p.lnq);                              // [N, D]
    Var k = linear(c, linear(c, x, p.kk), p.kkup);                                 // [N, D]
    Var v = activate(c, Activation::tanh, linear(c, linear(c, x, p.vv), p.vvup));  // [N, C]
    k = layer_norm(c, mul(c, k, embedding(c, p.ennk, tokens)), p.lnk);
    v = layer_norm(c, mul(c, v, embedding(c, p.emm, tokens)), p.lnv);
    append_history(c, k, state[p.keys]);
    append_history(c, v, state[p.values]);
    return aviary::attention(c, q, state[p.keys], state[p.values], {.scale = score_scale, .cap = score_cap});
  }

  void add_unused_ln0(const std::string& name) {
    parameters_.add({name + ".weight", Use::vector, {config_.n_embd}, init::constant(1), false, 1, true});
    parameters_.add({name + ".bias", Use::vector, {config_.n_embd}, init::constant(0), false, 1, true});
  }
  HybridAttention add_attention(const std::string& name);

  Weight *emb_, *head_;
  std::optional<Norm> ln_out_;
  std::vector<HybridBlock> blocks_;
};

Rwkv8Hybrid::Rwkv8Hybrid(const ModelConfig& config, Dtype dtype) : Rwkv7Layers(config, dtype) {
  const int64_t C = config.n_embd, V = config.vocab_size;
  emb_ = &parameters_.add(
      {"emb.weight", Use::table, {V, C}, init::uniform(std::sqrt(3.0))});  // variance 1, as if normed
  for (int64_t layer = 0; layer < config.n_layer; ++layer) {
    const std::string block = fmt::format("blocks.{}.", layer);
    if (layer == 0) add_unused_ln0(block + "ln0");
    Norm ln1 = add_norm(block + "ln1"), ln2 = add_norm(block + "ln2");
    Rwkv7TimeMix att = add_time_mix(block + "att", layer);
    HybridAttention qkv = add_attention(block + "qkv");
    Rwkv7ChannelMix ffn = add_channel_mix(block + "ffn", layer);
    Weight& enn = parameters_.add({block + "ffn.enn.weight", Use::table, {V, C}, init::constant(1)});
    blocks_.push_back({ln1, ln2, att, qkv, ffn, enn});
  }
  ln_out_.emplace(add_norm("ln_out"));
  head_ = &add_head("head");
}

HybridAttention Rwkv8Hybrid::add_attention(const std::string& name) {
  const int64_t C = config_.n_embd, D = key_size;
  auto matrix = [&](const char* which, int64_t rows, int64_t cols) -> Weight& {
    return parameters_.add({name + which + ".weight", Use::out_in, {rows, cols}, init::orthogonal(1), true});
  };
  auto rows = [&](const char* which, int64_t width) -> Weight& {
    return parameters_.add(
        {name + which + ".weight", Use::table, {config_.vocab_size, width}, init::constant(1)});
  };
  auto history = [&](const char* which, int64_t width) {
    return add_state({name + which, StateKind::history, {width}});
  };
  return {.qq = matrix(".qq", D, C),
          .kk = matrix(".kk", rank, C),
          .kkup = matrix(".kkup", D, rank),
          .vv = matrix(".vv", rank, C),
          .vvup = matrix(".vvup", C, rank),
          .ennk = rows(".ennk", D),
          .emm = rows(".emm", C),
          .lnq = add_norm(name + ".lnq", 1, D),
          .lnk = add_norm(name + ".lnk", 1, D),
          .lnv = add_norm(name + ".lnv", 0),  // the layer starts by adding nothing
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
    .news = "attention beside time mixing, its keys and values scaled by rows of the token",
    .recipes = {"v7"},
    .recognize = recognize,
    .complete = complete_rwkv7,
    .create = [](const ModelConfig& config, Dtype dtype) -> std::unique_ptr<Model> {
      return std::make_unique<Rwkv8Hybrid>(config, dtype);
    },
    .training = train_like_rwkv7,
};

}  // namespace aviary
