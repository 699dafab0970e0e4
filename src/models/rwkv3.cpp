// RWKV-3: RWKV-LM, RWKV-v3/src/model.py. Time mixing is the weighted average of RWKV-2, with keys clamped to
// at most 60; new are a layer norm before every layer and separate mixtures for k, v and r.
#include "models/block_table.h"

namespace aviary {
namespace {

constexpr double epsilon = 1e-8;  // in the denominator of the average

struct Rwkv3TimeMix {
  Weight &time_decay, &time_first;               // [C, 1]
  Weight &time_mix_k, &time_mix_v, &time_mix_r;  // [1, 1, C]
  Weight &key, &value, &receptance, &output;     // [C, C]
  size_t x_state, aa, bb;
};

struct Rwkv3Block {
  Norm ln1, ln2;
  std::optional<Rwkv3TimeMix> att;
  std::optional<ChannelMix> ffn_pre;  // instead of att, in the first block of a model with pre_ffn
  std::optional<ChannelMix> ffn;
};

class Rwkv3 final : public Model {
 public:
  Rwkv3(const ModelConfig& config, Dtype dtype);

 private:
  void block(Context& c, size_t layer, Stream& s) override {
    Rwkv3Block& p = blocks_[layer];
    Var normed = layer_norm(c, s.x, p.ln1);
    s.x = p.att ? time_mix(c, *p.att, normed, s.x, s.state)
                : channel_mix(c, *p.ffn_pre, shift(MixOf::current), normed, s.x, s.state);
    s.x = channel_mix(c, *p.ffn, shift(MixOf::current), layer_norm(c, s.x, p.ln2), s.x, s.state);
  }
  Var time_mix(Context& c, Rwkv3TimeMix& p, const Var& x, const Var& residual, std::span<Var> state) {
    auto [xk, xv, xr] = token_shift_mix<3>(c, x, state[p.x_state], shift(MixOf::current),
                                           {&p.time_mix_k, &p.time_mix_v, &p.time_mix_r});
    auto [k, v, r] = linear_each<3>(c, {xk, xv, xr}, {&p.key, &p.value, &p.receptance});
    Var y = wkv2(c, p.time_decay, p.time_first, k, v, {state[p.aa], state[p.bb]}, epsilon);
    return residual_linear(c, Branch::att, residual, sigmoid_gate(c, r, y), p.output);
  }

  std::vector<Rwkv3Block> blocks_;
};

// ---- The parameter table, with the initialization of the original trainer.

Rwkv3TimeMix add_time_mix(BlockTable& table) {
  const int64_t C = table.config().n_embd;
  return {
      .time_decay = table.time_decay({C, 1}),
      .time_first = table.time_first({C, 1}),
      .time_mix_k = table.mix("att.time_mix_k", table.rest()),
      .time_mix_v = table.mix("att.time_mix_v", table.rest(), 0.3 * table.depth()),
      .time_mix_r = table.mix("att.time_mix_r", 0.5 * table.rest()),
      .key = table.matrix("att.key", C, C, true),
      .value = table.matrix("att.value", C, C),
      .receptance = table.matrix("att.receptance", C, C, true),
      .output = table.matrix("att.output", C, C, true),
      .x_state = table.shift_state("att.x"),
      .aa = table.recurrence("att.aa", {C}),
      .bb = table.recurrence("att.bb", {C}),
  };
}

Rwkv3Block add_block(BlockTable& table, int64_t layer) {
  Rwkv3Block block{table.norm("ln1"), table.norm("ln2"), {}, {}, {}};
  if (layer == 0 && table.config().has(option::pre_ffn))
    block.ffn_pre.emplace(table.channel_mix("ffnPre", Branch::att));
  else
    block.att.emplace(add_time_mix(table));
  block.ffn.emplace(table.channel_mix("ffn", Branch::ffn));
  return block;
}

Rwkv3::Rwkv3(const ModelConfig& config, Dtype dtype) : Model(config, dtype) {
  build(plain_frame(config), [this](int64_t layer) {
    BlockTable table(*this, layer);
    blocks_.push_back(add_block(table, layer));
  });
}

// ---- Sizes

ModelConfig complete(ModelConfig config) {
  require(config.head_size == 0, "rwkv3: it has no heads, so no head size ({} was given)", config.head_size);
  if (!config.dim_ffn) config.dim_ffn = 4 * config.n_embd;
  return config;
}

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  const bool pre_ffn = find_shape(shapes, "blocks.0.ffnPre.key.weight") != nullptr;
  const Shape* decay = find_shape(shapes, pre_ffn ? "blocks.1.att.time_decay" : "blocks.0.att.time_decay");
  const bool in_a_column = decay && decay->rank() == 2 && (*decay)[1] == 1;
  if (!in_a_column || !find_shape(shapes, "blocks.0.ffn.time_mix_k")) return {};
  return ModelConfig{.version = "rwkv3",
                     .n_layer = count_blocks(shapes),
                     .n_embd = (*decay)[0],
                     .vocab_size = find_size(shapes, "emb.weight", 0),
                     .dim_ffn = find_size(shapes, "blocks.0.ffn.key.weight", 0),
                     .options = {{"pre_ffn", pre_ffn ? 1 : 0}}};
}

}  // namespace

AVIARY_MODEL(rwkv3){
    .name = "rwkv3",
    .title = "RWKV-3",
    .year = 2022,
    .recurrence = "A = e^-w A + e^k v, B = e^-w B + e^k, y = A / (B + epsilon), per channel",
    .source = "RWKV-LM RWKV-v3",
    .news = "r, k and v have their own token shifts; a layer norm after the embedding",
    .recipes = {"v3"},
    .options = {&option::head_qk, &option::head_qk_max, &option::token_shift, &option::pre_ffn,
                &option::small_init_emb},
    .recognize = recognize,
    .complete = complete,
    .create = create_as<Rwkv3>,
    .training =
        [](const std::string&) {
          return TrainingRecipe{.learning_rate = 8e-4, .epsilon = 4e-9, .l2wrap = false};
        },
};

}  // namespace aviary
