#include "models/config.h"

#include <charconv>

#include "base/error.h"

namespace aviary {

std::span<const ConfigNumber> config_numbers() {
  static constexpr ConfigNumber numbers[] = {
      {"n_layer", &ModelConfig::n_layer},
      {"n_embd", &ModelConfig::n_embd},
      {"vocab_size", &ModelConfig::vocab_size},
      {"head_size", &ModelConfig::head_size},
      {"dim_att", &ModelConfig::dim_att},
      {"dim_ffn", &ModelConfig::dim_ffn},
      {"ctx_len", &ModelConfig::ctx_len},
      {"rank_decay", &ModelConfig::rank_decay},
      {"rank_a", &ModelConfig::rank_a},
      {"rank_v", &ModelConfig::rank_v},
      {"rank_gate", &ModelConfig::rank_gate},
      {"rank_mix", &ModelConfig::rank_mix},
      {"head_qk", &ModelConfig::head_qk},
      {"head_qk_max", &ModelConfig::head_qk_max},
      {"pre_ffn", &ModelConfig::pre_ffn},
      {"self_attention", &ModelConfig::self_attention},
      {"mish_glu", &ModelConfig::mish_glu},
      {"small_init_emb", &ModelConfig::small_init_emb},
      {"ffn_gate", &ModelConfig::ffn_gate},
      {"ffn_relu_squared", &ModelConfig::ffn_relu_squared},
      {"tiny_att_dim", &ModelConfig::tiny_att_dim},
      {"tiny_att_layer", &ModelConfig::tiny_att_layer},
      {"trainable_state", &ModelConfig::trainable_state},
  };
  return numbers;
}

std::span<const ModelOption> model_options() {
  static constexpr ModelOption options[] = {
      {"head_qk", &ModelConfig::head_qk, 8, "Width of Head-QK, which copies tokens it attends to"},
      {"head_qk_max", &ModelConfig::head_qk_max, 1, "Head-QK counts a repeated token once, at its largest"},
      {"pre_ffn", &ModelConfig::pre_ffn, 1, "1: block 0 has a second channel mix instead of time mixing"},
      {"self_attention", &ModelConfig::self_attention, 1, "1: attention beside time mixing"},
      {"mish_glu", &ModelConfig::mish_glu, 1, "1: channel mixing gated by mish"},
      {"small_init_emb", &ModelConfig::small_init_emb, 1,
       "1: the embedding starts tiny, and a layer norm follows it"},
      {"ffn_gate", &ModelConfig::ffn_gate, 1, "1: a receptance in the channel mixing of an attention model"},
      {"ffn_relu_squared", &ModelConfig::ffn_relu_squared, 1, "1: squared ReLU in it instead of GeGLU"},
      {"tiny_att_dim", &ModelConfig::tiny_att_dim, 8, "Width of tiny attention behind one block"},
      {"tiny_att_layer", &ModelConfig::tiny_att_layer, 1, "The block behind which it stands"},
      {"trainable_state", &ModelConfig::trainable_state, 1, "1: the state before the first token is learned"},
  };
  return options;
}

std::vector<int32_t> shift_distances(const std::string& token_shift, int64_t channels) {
  constexpr int32_t furthest = 4096;
  std::vector<int32_t> parts;
  const char *at = token_shift.data(), *end = at + token_shift.size();
  for (bool more = true; more; ++at) {
    int32_t distance = -1;
    const auto [next, error] = std::from_chars(at, end, distance);
    require(error == std::errc() && distance >= 0 && distance <= furthest && (next == end || *next == ','),
            "token_shift is \"{}\", expected distances of 0 to {} such as 1 or 4,2,1", token_shift, furthest);
    parts.push_back(distance);
    more = next != end;
    at = next;
  }
  const int64_t count = std::ssize(parts);
  require(count <= channels, "token_shift \"{}\" names {} distances for {} channels", token_shift, count,
          channels);
  std::vector<int32_t> distances;
  for (int64_t i = 0; i < channels; ++i)
    distances.push_back(parts[static_cast<size_t>(i * count / channels)]);
  return distances;
}

}  // namespace aviary
