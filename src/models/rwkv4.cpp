// RWKV-4 "Dove": Peng et al. 2023, arXiv 2305.13048, as trained by RWKV-LM (RWKV-v4neo/src/model.py; the
// recipe "v4-original" is RWKV-v4/src/model.py). Time mixing is a weighted average whose weights decay by
// e^-w per token.
#include <cmath>

#include "models/model.h"

namespace aviary {
namespace {

struct Rwkv4TimeMix {
  Weight &time_decay, &time_first;               // [C]
  Weight &time_mix_k, &time_mix_v, &time_mix_r;  // [1, 1, C]
  Weight &key, &value, &receptance, &output;     // [C, C]
  size_t x_state, aa, bb, pp;
};

struct Rwkv4ChannelMix {
  Weight &time_mix_k, &time_mix_r;   // [1, 1, C]
  Weight &key, &receptance, &value;  // [F, C], [C, C], [C, F]
  size_t x_state;
};

struct Rwkv4Block {
  Norm ln1, ln2;
  Rwkv4TimeMix att;
  Rwkv4ChannelMix ffn;
};

class Rwkv4 final : public Model {
 public:
  Rwkv4(const ModelConfig& config, Dtype dtype);

  Var hidden(Context& c, std::span<const int32_t> tokens, std::span<Var> state) override {
    Var x = embedding(c, *emb_, tokens);  // [N, C]
    x = layer_norm(c, x, *ln0_);
    for (Rwkv4Block& block : blocks_) {
      x = time_mix(c, block.att, layer_norm(c, x, block.ln1), x, state);
      x = channel_mix(c, block.ffn, layer_norm(c, x, block.ln2), x, state);
    }
    return layer_norm(c, x, *ln_out_);
  }
  Weight& head() override { return *head_; }

 private:
  Var time_mix(Context& c, Rwkv4TimeMix& p, const Var& x, const Var& residual, std::span<Var> state) {
    auto [xk, xv, xr] = token_shift_mix<3>(c, x, state[p.x_state], MixOf::current,
                                           {&p.time_mix_k, &p.time_mix_v, &p.time_mix_r});
    Var k = linear(c, xk, p.key);
    Var v = linear(c, xv, p.value);
    Var r = linear(c, xr, p.receptance);
    Var y = wkv4(c, p.time_decay, p.time_first, k, v, {state[p.aa], state[p.bb], state[p.pp]});
    y = sigmoid_gate(c, r, y);
    return residual_linear(c, Branch::att, residual, y, p.output);
  }

  Var channel_mix(Context& c, Rwkv4ChannelMix& p, const Var& x, const Var& residual, std::span<Var> state) {
    auto [xk, xr] =
        token_shift_mix<2>(c, x, state[p.x_state], MixOf::current, {&p.time_mix_k, &p.time_mix_r});
    Var k = activate(c, Activation::relu_squared, linear(c, xk, p.key));  // [N, F]
    Var r = linear(c, xr, p.receptance);
    Var v = linear(c, k, p.value);
    return residual_gate(c, Branch::ffn, residual, r, v);
  }

  Rwkv4TimeMix add_time_mix(int64_t layer);
  Rwkv4ChannelMix add_channel_mix(int64_t layer);
  // A matrix: the neo recipe starts some at 0 and others orthogonal with a gain for tall ones; the original
  // trainer, as it was run, started all of them orthogonal with gain 1.
  Weight& add_matrix(const std::string& name, int64_t rows, int64_t cols, bool neo_starts_at_zero);

  bool neo_;
  Weight *emb_, *head_;
  std::optional<Norm> ln0_, ln_out_;
  std::vector<Rwkv4Block> blocks_;
};

// ---- The table of parameters, with the initialization of the original trainers.

constexpr double neo_learning_rate = 6e-4;  // also the bound of its embedding

double tall_gain(int64_t rows, int64_t cols) {
  return rows > cols ? std::sqrt(static_cast<double>(rows) / static_cast<double>(cols)) : 1;
}

Rwkv4::Rwkv4(const ModelConfig& config, Dtype dtype)
    : Model(config, dtype), neo_(config.recipe != "v4-original") {
  const int64_t C = config.n_embd, V = config.vocab_size;
  const double small = 1e-4 * std::sqrt(static_cast<double>(std::max(V, C)));
  emb_ = &parameters_.add(
      {"emb.weight", {V, C}, neo_ ? init::uniform(neo_learning_rate) : init::orthogonal(small)});
  for (int64_t layer = 0; layer < config.n_layer; ++layer) {
    const std::string block = fmt::format("blocks.{}.", layer);
    if (layer == 0) ln0_.emplace(add_norm(block + "ln0"));
    Norm ln1 = add_norm(block + "ln1"), ln2 = add_norm(block + "ln2");
    Rwkv4TimeMix att = add_time_mix(layer);
    blocks_.push_back({ln1, ln2, att, add_channel_mix(layer)});
  }
  ln_out_.emplace(add_norm("ln_out"));
  head_ = &parameters_.add({"head.weight", {V, C}, init::orthogonal(0.5 * tall_gain(V, C))});
}

Weight& Rwkv4::add_matrix(const std::string& name, int64_t rows, int64_t cols, bool neo_starts_at_zero) {
  const double gain = neo_ ? tall_gain(rows, cols) : 1;
  return parameters_.add({name + ".weight",
                          {rows, cols},
                          neo_ && neo_starts_at_zero ? init::constant(0) : init::orthogonal(gain)});
}

Rwkv4TimeMix Rwkv4::add_time_mix(int64_t layer) {
  const int64_t C = config_.n_embd;
  const double depth =
      static_cast<double>(layer) / static_cast<double>(std::max<int64_t>(config_.n_layer - 1, 1));
  const double rest = 1 - static_cast<double>(layer) / static_cast<double>(config_.n_layer);
  const std::string att = fmt::format("blocks.{}.att.", layer);
  auto channel = [C](int64_t i) { return static_cast<double>(i) / static_cast<double>(C); };
  auto mix = [&](const char* name, double power, double offset) -> Weight& {
    return parameters_.add(
        {att + name, {1, 1, C}, init::each([=](int64_t i) { return std::pow(channel(i), power) + offset; })});
  };
  auto decay = [=](int64_t i) {  // slow to fast over the channels, more unequal in deeper layers
    const double across = static_cast<double>(i) / static_cast<double>(std::max<int64_t>(C - 1, 1));
    return -5 + 8 * std::pow(across, 0.7 + 1.3 * depth);
  };
  auto first = [](int64_t i) { return std::log(0.3) + 0.5 * static_cast<double>((i + 1) % 3 - 1); };
  return {
      .time_decay = parameters_.add({att + "time_decay", {C}, init::each(decay), false, neo_ ? 2.0 : 1.0}),
      .time_first = parameters_.add({att + "time_first", {C}, init::each(first), false, neo_ ? 3.0 : 1.0}),
      .time_mix_k = mix("time_mix_k", rest, 0),
      .time_mix_v = mix("time_mix_v", rest, 0.3 * depth),
      .time_mix_r = mix("time_mix_r", 0.5 * rest, 0),
      .key = add_matrix(att + "key", C, C, true),
      .value = add_matrix(att + "value", C, C, false),
      .receptance = add_matrix(att + "receptance", C, C, true),
      .output = add_matrix(att + "output", C, C, true),
      .x_state = add_shift_state(att + "x"),
      .aa = add_state({att + "aa", {C}}),
      .bb = add_state({att + "bb", {C}}),
      .pp = add_state({att + "pp", {C}, -1e30}),
  };
}

Rwkv4ChannelMix Rwkv4::add_channel_mix(int64_t layer) {
  const int64_t C = config_.n_embd, F = config_.dim_ffn;
  const double rest = 1 - static_cast<double>(layer) / static_cast<double>(config_.n_layer);
  const std::string ffn = fmt::format("blocks.{}.ffn.", layer);
  auto mix = [=](int64_t i) { return std::pow(static_cast<double>(i) / static_cast<double>(C), rest); };
  return {
      .time_mix_k = parameters_.add({ffn + "time_mix_k", {1, 1, C}, init::each(mix)}),
      .time_mix_r = parameters_.add({ffn + "time_mix_r", {1, 1, C}, init::each(mix)}),
      .key = add_matrix(ffn + "key", F, C, false),
      .receptance = add_matrix(ffn + "receptance", C, C, true),
      .value = add_matrix(ffn + "value", C, F, true),
      .x_state = add_shift_state(ffn + "x"),
  };
}

// ---- Sizes

ModelConfig complete(ModelConfig config) {
  require(config.head_size == 0, "rwkv4: it has no heads, so no head size ({} was given)", config.head_size);
  if (!config.dim_ffn) config.dim_ffn = 4 * config.n_embd;
  return config;
}

std::optional<ModelConfig> recognize(const ShapeMap& shapes) {
  const Shape* decay = find_shape(shapes, "blocks.0.att.time_decay");
  const Shape* emb = find_shape(shapes, "emb.weight");
  const Shape* key = find_shape(shapes, "blocks.0.ffn.key.weight");
  if (!decay || !emb || !key || emb->rank() != 2 || key->rank() != 2) return {};
  const bool of_channels = decay->rank() == 1 && (*decay)[0] == (*emb)[1];
  if (!of_channels || find_shape(shapes, "blocks.0.att.ln_x.weight")) return {};
  return ModelConfig{.version = "rwkv4",
                     .n_layer = count_blocks(shapes),
                     .n_embd = (*emb)[1],
                     .vocab_size = (*emb)[0],
                     .dim_ffn = (*key)[0]};
}

}  // namespace

AVIARY_MODEL(rwkv4){
    .name = "rwkv4",
    .title = "RWKV-4 Dove",
    .year = 2022,
    .recurrence = "A = e^-w A + e^k v, B = e^-w B + e^k, y = A / B, per channel",
    .source = "arXiv 2305.13048; RWKV-LM RWKV-v4neo, RWKV-v4",
    .recipes = {"v4neo", "v4-original"},
    .options = {"head_qk", "head_qk_max", "token_shift"},
    .recognize = recognize,
    .complete = complete,
    .create = [](const ModelConfig& config, Dtype dtype) -> std::unique_ptr<Model> {
      return std::make_unique<Rwkv4>(config, dtype);
    },
    .training =
        [](const std::string& recipe) {
          if (recipe == "v4-original")
            return TrainingRecipe{.learning_rate = 8e-4, .final_learning_rate = 1e-5, .clip = 0};
          return TrainingRecipe{.learning_rate = neo_learning_rate, .final_learning_rate = 1e-5};
        },
};

}  // namespace aviary
