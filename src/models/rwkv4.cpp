// RWKV-4 "Dove": Peng et al. 2023, arXiv 2305.13048, as trained by RWKV-LM (RWKV-v4neo/src/model.py; the
// recipe "v4-original" is RWKV-v4/src/model.py). Time mixing is a weighted average whose weights decay by
// e^-w per token.
#include "models/mish_glu.h"
#include "models/self_attention.h"
#include "models/tiny_attention.h"

namespace aviary {
namespace {

struct Rwkv4TimeMix {
  Weight &time_decay, &time_first;               // [A]
  Weight &time_mix_k, &time_mix_v, &time_mix_r;  // [1, 1, C]
  Weight &key, &value, &receptance, &output;     // [A, C], output [C, A]
  size_t x_state, aa, bb, pp;
  std::optional<SelfAttention> self_attention;
};

struct Rwkv4Block {
  Norm ln1, ln2;
  std::optional<Rwkv4TimeMix> att;
  std::optional<ChannelMix> ffn_pre;  // instead of att, in the first block of a model with pre_ffn
  std::optional<ChannelMix> ffn;
  std::optional<MishGlu> mish_glu;  // instead of ffn
  std::optional<TinyAttention> tiny_attention;
};

class Rwkv4 final : public Model {
 public:
  Rwkv4(const ModelConfig& config, Dtype dtype);

 private:
  void embed(Context& c, Stream& s) override {
    s.kept[x_emb_] = embedding(c, *embedding_, s.tokens);  // [N, C]
    s.x = layer_norm(c, s.kept[x_emb_], *first_norm_);
  }
  void block(Context& c, size_t layer, Stream& s) override {
    Rwkv4Block& p = blocks_[layer];
    Var normed = layer_norm(c, s.x, p.ln1);
    s.x = p.att ? time_mix(c, *p.att, normed, s.x, s.state)
                : channel_mix(c, *p.ffn_pre, shift(MixOf::current), normed, s.x, s.state);
    normed = layer_norm(c, s.x, p.ln2);
    s.x = p.ffn ? channel_mix(c, *p.ffn, shift(MixOf::current), normed, s.x, s.state)
                : mish_glu(c, *p.mish_glu, shift(MixOf::current), normed, s.x, s.state);
    if (p.tiny_attention) s.x = tiny_attention(c, *p.tiny_attention, s.x, s.kept[x_emb_], s.state);
  }
  Var time_mix(Context& c, Rwkv4TimeMix& p, const Var& x, const Var& residual, std::span<Var> state) {
    const Var before = p.self_attention ? keep(c, state[p.x_state]) : Var();
    auto [xk, xv, xr] = token_shift_mix<3>(c, x, state[p.x_state], shift(MixOf::current),
                                           {&p.time_mix_k, &p.time_mix_v, &p.time_mix_r});
    auto [k, v, r] = linear_each<3>(c, {xk, xv, xr}, {&p.key, &p.value, &p.receptance});  // [N, A]
    Var y = wkv4(c, p.time_decay, p.time_first, k, v, {state[p.aa], state[p.bb], state[p.pp]});
    y = sigmoid_gate(c, r, y);
    if (!p.self_attention) return residual_linear(c, Branch::att, residual, y, p.output);
    y = self_attention(c, *p.self_attention, shift(MixOf::current), x, before, linear(c, y, p.output), state);
    return add_branch(c, Branch::att, residual, y);
  }

  const size_t x_emb_ = add_kept();  // the rows of the embedding, without ln0, for tiny attention
  std::vector<Rwkv4Block> blocks_;
};

// ---- The parameter table, with the initialization of the original trainers.

constexpr double neo_learning_rate = 6e-4;  // also the bound of its embedding

Rwkv4TimeMix add_time_mix(BlockTable& table) {
  const int64_t C = table.config().n_embd, A = table.config().dim_att;
  const bool neo = table.config().recipe != "v4-original";
  Rwkv4TimeMix att{
      .time_decay = table.time_decay({A}, neo ? 2 : 1),
      .time_first = table.time_first({A}, neo ? 3 : 1),
      .time_mix_k = table.mix("att.time_mix_k", table.rest()),
      .time_mix_v = table.mix("att.time_mix_v", table.rest(), 0.3 * table.depth()),
      .time_mix_r = table.mix("att.time_mix_r", 0.5 * table.rest()),
      .key = table.matrix("att.key", A, C, true),
      .value = table.matrix("att.value", A, C),
      .receptance = table.matrix("att.receptance", A, C, true),
      .output = table.matrix("att.output", C, A, true),
      .x_state = table.shift_state("att.x"),
      // The sums of values and weights are aa e^pp and bb e^pp.
      .aa = table.recurrence("att.aa", {A}, 0, WhenTuned::trained),
      .bb = table.recurrence("att.bb", {A}, 0, WhenTuned::trained_not_negative),
      .pp = table.recurrence("att.pp", {A}, -1e30, WhenTuned::zero),
      .self_attention = {},
  };
  if (table.config().has(option::self_attention)) att.self_attention.emplace(add_self_attention(table));
  return att;
}

Rwkv4Block add_block(BlockTable& table, int64_t layer) {
  const ModelConfig& config = table.config();
  Rwkv4Block block{table.norm("ln1"), table.norm("ln2"), {}, {}, {}, {}, {}};
  if (layer == 0 && config.has(option::pre_ffn))
    block.ffn_pre.emplace(table.channel_mix("ffnPre", Branch::att));
  else
    block.att.emplace(add_time_mix(table));
  if (config.has(option::mish_glu))
    block.mish_glu.emplace(add_mish_glu(table));
  else
    block.ffn.emplace(table.channel_mix("ffn", Branch::ffn));
  if (config.has(option::tiny_att_dim) && layer == config.number(option::tiny_att_layer))
    block.tiny_attention.emplace(add_tiny_attention(table));
  return block;
}

Rwkv4::Rwkv4(const ModelConfig& config, Dtype dtype) : Model(config, dtype) {
  ModelFrame around = plain_frame(config);
  if (config.recipe != "v4-original" && !config.has(option::small_init_emb))
    around.embedding.start = init::uniform(neo_learning_rate);
  build(around, [this](int64_t layer) {
    BlockTable table(*this, layer);
    blocks_.push_back(add_block(table, layer));
  });
}

// ---- Sizes

ModelConfig complete(ModelConfig config) {
  require(config.head_size == 0, "rwkv4: it has no heads, so no head size ({} was given)", config.head_size);
  if (!config.dim_ffn) config.dim_ffn = 4 * config.n_embd;
  if (!config.dim_att) config.dim_att = config.n_embd;
  require(!config.has(option::self_attention) || config.n_embd >= 16,
          "rwkv4: width {} with self-attention, whose head is a sixteenth of it: it must be at least 16",
          config.n_embd);
  const int64_t width = config.number(option::tiny_att_dim), layer = config.number(option::tiny_att_layer);
  require(layer < config.n_layer && (width > 0 || layer == 0),
          "rwkv4: tiny attention of width {} after block {} of {}", width, layer, config.n_layer);
  return config;
}

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  const bool pre_ffn = find_shape(shapes, "blocks.0.ffnPre.key.weight") != nullptr;
  const std::string att = pre_ffn ? "blocks.1.att." : "blocks.0.att.";
  const Shape* decay = find_shape(shapes, att + "time_decay");
  const bool of_channels = decay && decay->rank() == 1 && find_shape(shapes, att + "time_mix_k");
  const bool of_heads = find_shape(shapes, att + "ln_x.weight") || find_shape(shapes, att + "ln_x.bias");
  if (!of_channels || of_heads) return {};  // RWKV-5 has decays per head and ln_x
  const bool mish_glu = find_shape(shapes, "blocks.0.ffn.aa.weight") != nullptr;
  ModelConfig config{
      .version = "rwkv4",
      .n_layer = count_blocks(shapes),
      .n_embd = find_size(shapes, "emb.weight", 1),
      .vocab_size = find_size(shapes, "emb.weight", 0),
      .dim_att = (*decay)[0],
      .dim_ffn = find_size(shapes, mish_glu ? "blocks.0.ffn.aa.weight" : "blocks.0.ffn.key.weight", 0),
      .options = {{"pre_ffn", pre_ffn ? 1 : 0},
                  {"self_attention", find_shape(shapes, att + "time_mix_qq") ? 1 : 0},
                  {"mish_glu", mish_glu ? 1 : 0}}};
  for (const auto& [name, shape] : shapes)
    if (name.ends_with(".tiny_q.weight") && shape.rank() == 2 && block_of(name) >= 0) {
      config.set(option::tiny_att_dim, shape[0]);
      config.set(option::tiny_att_layer, block_of(name));
    }
  return config;
}

}  // namespace

AVIARY_MODEL(rwkv4){
    .name = "rwkv4",
    .title = "RWKV-4 Dove",
    .year = 2022,
    .recurrence = "A = e^-w A + e^k v, B = e^-w B + e^k, y = A / B, per channel",
    .source = "arXiv 2305.13048; RWKV-LM RWKV-v4neo, RWKV-v4",
    .news = "a stable form of the average, a bonus for the current token, no clamp",
    .recipes = {"v4neo", "v4-original"},
    .buffers = {"att.att_mask", "tiny_mask"},
    .options = {&option::head_qk, &option::head_qk_max, &option::token_shift, &option::pre_ffn,
                &option::self_attention, &option::mish_glu, &option::tiny_att_dim, &option::tiny_att_layer,
                &option::small_init_emb},
    .recognize = recognize,
    .complete = complete,
    .create = create_as<Rwkv4>,
    .training =
        [](const std::string& recipe) {
          if (recipe == "v4-original") return TrainingRecipe{.learning_rate = 8e-4, .clip = 0};
          return TrainingRecipe{.learning_rate = neo_learning_rate};
        },
};

}  // namespace aviary
