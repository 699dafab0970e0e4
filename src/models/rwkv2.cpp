// RWKV-2: RWKV-LM, RWKV-v2-RNN/src/model.py, the first version that is a recurrent network. Time mixing is a
// weighted average whose weights decay by e^-w per token. All projections of a layer share one mixture, and
// the residual stream passes through the layer norms.
#include "models/block_table.h"

namespace aviary {
namespace {

constexpr double epsilon = 1e-16;  // in the denominator of the average

struct Rwkv2TimeMix {
  Weight &time_decay, &time_first;            // [C, 1]
  Weight& time_mix;                           // [1, 1, C]
  Weight &key, &value, &receptance, &output;  // [C, C]
  size_t x_state, aa, bb;
};

struct Rwkv2Block {
  Norm ln1, ln2;
  std::optional<Rwkv2TimeMix> att;
  std::optional<ChannelMix> ffn_pre;  // instead of att, in the first block of a model with pre_ffn
  std::optional<ChannelMix> ffn;
};

class Rwkv2 final : public Model {
 public:
  Rwkv2(const ModelConfig& config, Dtype dtype);

 private:
  void block(Context& c, size_t layer, Stream& s) override {
    Rwkv2Block& p = blocks_[layer];
    Var x = layer_norm(c, s.x, p.ln1);
    x = p.att ? time_mix(c, *p.att, x, s.state)
              : channel_mix(c, *p.ffn_pre, shift(MixOf::current), x, x, s.state);
    x = layer_norm(c, x, p.ln2);
    s.x = channel_mix(c, *p.ffn, shift(MixOf::current), x, x, s.state);
  }
  Var time_mix(Context& c, Rwkv2TimeMix& p, const Var& x, std::span<Var> state) {
    auto [mixed] = token_shift_mix<1>(c, x, state[p.x_state], shift(MixOf::current), {&p.time_mix});
    auto [k, v, r] = linear_each<3>(c, {mixed, mixed, mixed}, {&p.key, &p.value, &p.receptance});
    Var y = wkv2(c, p.time_decay, p.time_first, k, v, {state[p.aa], state[p.bb]}, epsilon);
    return residual_linear(c, Branch::att, x, sigmoid_gate(c, r, y), p.output);
  }

  std::vector<Rwkv2Block> blocks_;
};

// ---- The parameter table, with the initialization of the original trainer.

// The first half of the channels is taken from the previous token.
Weight& add_mix(BlockTable& table, const std::string& name) {
  const int64_t C = table.config().n_embd;
  return table.vector(name, {1, 1, C}, [C](int64_t i) { return i < C / 2 ? 0.0 : 1.0; });
}

// exp(time_decay) = fastest * ratio^(7 i / (C - 1)). Both change with the layer from the second one on; the
// original trainer sets three layers by hand.
Weight& add_decay(BlockTable& table, int64_t layer) {
  const int64_t C = table.config().n_embd, L = table.config().n_layer;
  const double along = static_cast<double>(layer - 1) / static_cast<double>(std::max<int64_t>(L - 2, 1));
  const double fastest = 3 - 1.8 * along + (layer == 1 ? 0.5 : 0);
  const double ratio = layer == L - 1 ? 0.37 : layer == L - 2 ? 0.4 : 0.65 - 0.25 * along;
  const double last = static_cast<double>(std::max<int64_t>(C - 1, 1));
  return table.vector("att.time_decay", {C, 1}, [=](int64_t i) {
    return std::log(fastest) + 7 * static_cast<double>(i) / last * std::log(ratio);
  });
}

Rwkv2TimeMix add_time_mix(BlockTable& table, int64_t layer) {
  const int64_t C = table.config().n_embd;
  return {
      .time_decay = add_decay(table, layer),
      .time_first = table.vector("att.time_first", {C, 1}, [](int64_t) { return std::log(0.3); }),
      .time_mix = add_mix(table, "att.time_mix"),
      .key = table.matrix("att.key", C, C, true),
      .value = table.matrix("att.value", C, C),
      .receptance = table.matrix("att.receptance", C, C, true),
      .output = table.matrix("att.output", C, C, true),
      .x_state = table.shift_state("att.x"),
      .aa = table.recurrence("att.aa", {C}),
      .bb = table.recurrence("att.bb", {C}),
  };
}

ChannelMix add_channel_mix(BlockTable& table, const std::string& name, Branch branch) {
  const int64_t C = table.config().n_embd, F = table.config().dim_ffn;
  Weight& mix = add_mix(table, name + ".time_mix");
  return {
      .mix_k = mix,
      .mix_r = mix,
      .key = table.matrix(name + ".key", F, C),
      .receptance = table.matrix(name + ".receptance", C, C, true),
      .value = table.matrix(name + ".value", C, F, true),
      .x_state = table.shift_state(name + ".x"),
      .branch = branch,
  };
}

Rwkv2Block add_block(BlockTable& table, int64_t layer) {
  Rwkv2Block block{table.norm("ln1"), table.norm("ln2"), {}, {}, {}};
  if (layer == 0 && table.config().has(option::pre_ffn))
    block.ffn_pre.emplace(add_channel_mix(table, "ffnPre", Branch::att));
  else
    block.att.emplace(add_time_mix(table, layer));
  block.ffn.emplace(add_channel_mix(table, "ffn", Branch::ffn));
  return block;
}

Rwkv2::Rwkv2(const ModelConfig& config, Dtype dtype) : Model(config, dtype) {
  ModelFrame around = plain_frame(config);
  around.first_norm.clear();
  build(around, [this](int64_t layer) {
    BlockTable table(*this, layer);
    blocks_.push_back(add_block(table, layer));
  });
}

// ---- Sizes

ModelConfig complete(ModelConfig config) {
  require(config.head_size == 0, "rwkv2: it has no heads, so no head size ({} was given)", config.head_size);
  if (!config.dim_ffn) config.dim_ffn = 4 * config.n_embd;
  if (!config.has(option::head_qk)) config.set(option::head_qk, 256);
  return config;
}

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  const Shape* mix = find_shape(shapes, "blocks.0.ffn.time_mix");
  if (!mix || mix->rank() == 0) return {};
  return ModelConfig{.version = "rwkv2",
                     .n_layer = count_blocks(shapes),
                     .n_embd = (*mix)[mix->rank() - 1],
                     .vocab_size = find_size(shapes, "emb.weight", 0),
                     .dim_ffn = find_size(shapes, "blocks.0.ffn.key.weight", 0),
                     .options = {{"pre_ffn", find_shape(shapes, "blocks.0.ffnPre.key.weight") ? 1 : 0}}};
}

}  // namespace

AVIARY_MODEL(rwkv2){
    .name = "rwkv2",
    .title = "RWKV-2",
    .year = 2022,
    .recurrence = "A = e^-w A + e^k v, B = e^-w B + e^k, y = A / (B + epsilon), per channel",
    .source = "RWKV-LM RWKV-v2-RNN",
    .news = "weights that decay by a constant factor: the model is a recurrent network",
    .recipes = {"v2"},
    .options = {&option::head_qk, &option::head_qk_max, &option::token_shift, &option::pre_ffn,
                &option::small_init_emb},
    .recognize = recognize,
    .complete = complete,
    .create = create_as<Rwkv2>,
    .training =
        [](const std::string&) {
          return TrainingRecipe{.learning_rate = 6e-4, .epsilon = 4e-9, .l2wrap = false};
        },
};

}  // namespace aviary
