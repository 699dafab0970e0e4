// RWKV-7b: RWKV-7a with DeepEmbed attention in parallel to time mixing (RWKV-LM, RWKV-v7/rwkv_v7b_demo.py;
// the checkpoints rwkv7b-g1). No trainer of it was published: the initial values of the added parameters are
// ours; with them the model equals RWKV-7.
#include "models/deep_embed.h"

namespace aviary {
namespace {

constexpr int64_t key_size = 256;  // D
constexpr int64_t rank = 32;       // of the matrices that compute keys and values
constexpr double score_cap = 64;   // scores are 64 tanh(q k / 1024)
constexpr double score_scale = score_cap / 1024;

struct DeepEmbedAttention {
  Weight& qq;                 // [D, C]
  Weight &k1, &k2, &v1, &v2;  // [C, R], [R, D], [C, R], [R, C]
  TokenRows k_emb, v_emb;     // width D, C
  Weight &x_q, &x_k, &x_v;    // [1, 1, D], [1, 1, D], [1, 1, C] token shift
  Norm lnq, lnk, lnv;
  size_t q_state, k_state, v_state, keys, values;
};

struct Rwkv7bBlock {
  Norm ln1, ln2;
  Rwkv7TimeMix att;
  DeepEmbedAttention qkv;
  Rwkv7ChannelMix ffn;
  DeepEmbed deep;
};

class Rwkv7b final : public DeepEmbedLayers {
 public:
  Rwkv7b(const ModelConfig& config, Dtype dtype) : DeepEmbedLayers(config, dtype) {
    build(frame(), [this](int64_t layer) {
      const std::string block = fmt::format("blocks.{}.", layer);
      blocks_.push_back({add_norm(block + "ln1"), add_norm(block + "ln2"), add_time_mix(block + "att", layer),
                         add_attention(block + "qkv"), add_channel_mix(block + "ffn", layer),
                         add_deep_embed(parameters_, block + "ffn", config_)});
    });
  }

 private:
  void block(Context& c, size_t layer, Stream& s) override {
    Rwkv7bBlock& p = blocks_[layer];
    Var y = add_branch(c, Branch::att, s.x, attention(c, p.qkv, s));
    s.x = time_mix(c, p.att, layer_norm(c, s.x, p.ln1), y, s);
    s.x = channel_mix(c, p.ffn, p.deep, layer_norm(c, s.x, p.ln2), s);
  }

  // For the input of the block, which is not normalized: [N, C].
  Var attention(Context& c, DeepEmbedAttention& p, Stream& s) {
    auto shifted = [&](const Var& y, size_t part, Weight& mix) {
      return token_shift_mix<1>(c, y, s.state[part], MixOf::previous, {&mix})[0];
    };
    Var q = linear(c, s.x, p.qq);                                                   // [N, D]
    Var k = linear(c, linear(c, s.x, p.k1, Layout::in_out), p.k2, Layout::in_out);  // [N, D]
    Var v = linear(c, linear(c, s.x, p.v1, Layout::in_out), p.v2, Layout::in_out);  // [N, C]
    k = mul(c, k, token_rows(c, p.k_emb, s.tokens, emb(s)));
    v = mul(c, activate(c, Activation::tanh, v), token_rows(c, p.v_emb, s.tokens, emb(s)));
    q = layer_norm(c, shifted(q, p.q_state, p.x_q), p.lnq);
    append_history(c, layer_norm(c, shifted(k, p.k_state, p.x_k), p.lnk), s.state[p.keys]);
    append_history(c, layer_norm(c, shifted(v, p.v_state, p.x_v), p.lnv), s.state[p.values]);
    return aviary::attention(c, q, s.state[p.keys], s.state[p.values],
                             {.scale = score_scale, .cap = score_cap});
  }

  DeepEmbedAttention add_attention(const std::string& name);

  std::vector<Rwkv7bBlock> blocks_;
};

DeepEmbedAttention Rwkv7b::add_attention(const std::string& name) {
  const int64_t C = config_.n_embd, D = key_size;
  auto matrix = [&](const char* which, int64_t rows, int64_t cols) -> Weight& {
    return parameters_.add({name + which, Use::in_out, {rows, cols}, init::orthogonal(1)});
  };
  auto shift = [&](const char* which, int64_t width) -> Weight& {
    return parameters_.add({name + which, Use::vector, {1, 1, width}, init::constant(0)});
  };
  auto one = [](int64_t) { return 1.0; };
  auto history = [&](const char* which, int64_t width) {
    return add_state({name + which, StateKind::history, {width}});
  };
  return {.qq = parameters_.add({name + ".qq.weight", Use::out_in, {D, C}, init::orthogonal(1), true}),
          .k1 = matrix(".k1", C, rank),
          .k2 = matrix(".k2", rank, D),
          .v1 = matrix(".v1", C, rank),
          .v2 = matrix(".v2", rank, C),
          .k_emb = add_token_rows(parameters_, name + ".k_emb", config_, D, one),
          .v_emb = add_token_rows(parameters_, name + ".v_emb", config_, C, one),
          .x_q = shift(".x_q", D),
          .x_k = shift(".x_k", D),
          .x_v = shift(".x_v", C),
          .lnq = add_norm(name + ".lnq", 1, D),
          .lnk = add_norm(name + ".lnk", 1, D),
          .lnv = add_norm(name + ".lnv", 0),  // initially the layer adds nothing
          .q_state = add_state({name + ".q", StateKind::shift, {D}}),
          .k_state = add_state({name + ".k", StateKind::shift, {D}}),
          .v_state = add_state({name + ".v", StateKind::shift, {C}}),
          .keys = history(".keys", D),
          .values = history(".values", C)};
}

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  if (!find_in_blocks(shapes, "qkv.k_emb.weight")) return {};
  return recognize_rwkv7("rwkv7b", shapes);
}

}  // namespace

AVIARY_MODEL(rwkv7b){
    .name = "rwkv7b",
    .title = "RWKV-7b",
    .year = 2025,
    .recurrence = "RWKV-7a's, and attention with capped scores",
    .source = "RWKV-LM RWKV-v7/rwkv_v7b_demo.py",
    .news = "DeepEmbed attention in parallel to time mixing",
    .recipes = {"v7"},
    .no_golden = "no trainer of it was published; its outputs are in the full reference data",
    .recognize = recognize,
    .complete = complete_rwkv7,
    .create = create_as<Rwkv7b>,
    .training = train_like_rwkv7,
};

}  // namespace aviary
