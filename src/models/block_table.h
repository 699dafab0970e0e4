// The parameter table of one block of RWKV-2, 3 or 4, whose trainers initialize parameters by the same rules.
// RWKV-5 and 6 add their own (models/eagle.h).
#pragma once

#include <cmath>

#include "models/channel_mix.h"

namespace aviary {

// sqrt(rows / cols) for a tall matrix: the gain of its orthogonal initialization.
inline double tall_gain(int64_t rows, int64_t cols) {
  return rows > cols ? std::sqrt(static_cast<double>(rows) / static_cast<double>(cols)) : 1;
}

namespace option {
inline constexpr ModelOption pre_ffn{.name = "pre_ffn",
                                     .help = "Block 0 has a second channel mix instead of time mixing"};
inline constexpr ModelOption small_init_emb{
    .name = "small_init_emb",
    .help = "The embedding has a small initialization and is scaled by the layer norm after it",
    .in_tensors = false,
    .of_start = true};
}  // namespace option

// The layers around the blocks of RWKV-2 to 4, initialized as in their trainers.
inline ModelFrame plain_frame(const ModelConfig& config) {
  const int64_t C = config.n_embd, V = config.vocab_size, D = config.number(option::head_qk);
  Initializer start = init::uniform(1e-4);
  if (!config.has(option::small_init_emb))
    start = init::orthogonal(1e-4 * std::sqrt(static_cast<double>(std::max(V, C))));
  return {.embedding = {"emb", start},
          .head = {"head", init::orthogonal(0.5 * tall_gain(V, C))},
          .head_qk = {.k = init::orthogonal(0.1 * tall_gain(D, C))}};
}

class BlockTable {
 public:
  BlockTable(Model& model, int64_t layer)
      : model_(model),
        prefix_(fmt::format("blocks.{}.", layer)),
        depth_(static_cast<double>(layer) / static_cast<double>(std::max<int64_t>(config().n_layer - 1, 1))),
        rest_(1 - static_cast<double>(layer) / static_cast<double>(config().n_layer)) {}

  const ModelConfig& config() const { return model_.config(); }
  double depth() const { return depth_; }  // 0 in the first layer, 1 in the last
  double rest() const { return rest_; }    // 1 in the first layer, 1 / n_layer in the last

  // A vector whose element i is initialized to value(i).
  Weight& vector(const std::string& name, Shape shape, std::function<double(int64_t)> value,
                 double rate = 1) {
    return parameter(name, Use::vector, shape, init::each(std::move(value)), rate);
  }
  Weight& parameter(const std::string& name, Use use, Shape shape, Initializer start, double rate = 1,
                    bool decay = false, int64_t parts = 1) {
    return model_.parameters().add({.name = prefix_ + name,
                                    .use = use,
                                    .shape = shape,
                                    .initialize = std::move(start),
                                    .decay = decay,
                                    .learning_rate_scale = rate,
                                    .parts = parts});
  }
  // A token shift mixture, [1, 1, C]: (i / C)^power + offset.
  Weight& mix(const std::string& name, double power, double offset = 0) {
    const auto width = static_cast<double>(config().n_embd);
    return vector(name, {1, 1, config().n_embd},
                  [=](int64_t i) { return std::pow(static_cast<double>(i) / width, power) + offset; });
  }
  // Some matrices are initialized to 0, the others to orthogonal ones with a gain for tall ones. The original
  // trainer of RWKV-4, as actually run, initialized all of them orthogonal with gain 1.
  Weight& matrix(const std::string& name, int64_t rows, int64_t cols, bool starts_at_zero = false) {
    const bool plain = config().recipe == "v4-original";
    const Initializer start = plain            ? init::orthogonal(1)
                              : starts_at_zero ? init::constant(0)
                                               : init::orthogonal(tall_gain(rows, cols));
    return parameter(name + ".weight", Use::out_in, {rows, cols}, start);
  }
  Norm norm(const std::string& name) { return model_.add_norm(prefix_ + name); }
  // time_decay of RWKV-3 and 4: slow to fast over the channels, with a larger spread in deeper layers.
  Weight& time_decay(Shape shape, double rate = 1) {
    const double last = static_cast<double>(std::max<int64_t>(shape[0] - 1, 1)), power = 0.7 + 1.3 * depth_;
    return vector(
        "att.time_decay", shape,
        [=](int64_t i) { return -5 + 8 * std::pow(static_cast<double>(i) / last, power); }, rate);
  }
  // time_first of RWKV-3 and 4: a zigzag around ln 0.3.
  Weight& time_first(Shape shape, double rate = 1) {
    return vector(
        "att.time_first", shape,
        [](int64_t i) { return std::log(0.3) + 0.5 * static_cast<double>((i + 1) % 3 - 1); }, rate);
  }
  // The channel mixing of RWKV-3 and 4.
  ChannelMix channel_mix(const std::string& name, Branch branch) {
    const int64_t C = config().n_embd, F = config().dim_ffn;
    return {
        .mix_k = mix(name + ".time_mix_k", rest_),
        .mix_r = mix(name + ".time_mix_r", rest_),
        .key = matrix(name + ".key", F, C),
        .receptance = matrix(name + ".receptance", C, C, true),
        .value = matrix(name + ".value", C, F, true),
        .x_state = shift_state(name + ".x"),
        .branch = branch,
    };
  }

  // Indices of parts of the state.
  size_t shift_state(const std::string& name) { return model_.add_shift_state(prefix_ + name); }
  size_t recurrence(const std::string& name, Shape shape, double initial = 0,
                    WhenTuned when_tuned = WhenTuned::unchanged) {
    return model_.add_state({prefix_ + name, StateKind::recurrence, shape, initial, when_tuned});
  }
  size_t history(const std::string& name, int64_t width) {
    return model_.add_state({prefix_ + name, StateKind::history, {width}});
  }

 private:
  Model& model_;
  std::string prefix_;
  double depth_, rest_;
};

}  // namespace aviary
