// The sizes and options that make a model of a version.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace aviary {

struct ModelConfig {
  std::string version;  // a registered name: "rwkv4", "rwkv7"
  // Where a version has several: initialization and learning rates, and spellings. Empty: the default one.
  std::string recipe{}, variant{};
  int64_t n_layer = 0;
  int64_t n_embd = 0;
  int64_t vocab_size = 0;
  int64_t head_size = 0;  // versions with heads
  int64_t dim_att = 0;    // width inside time mixing; 0: n_embd
  int64_t dim_ffn = 0;    // 0: the version's own rule
  int64_t ctx_len = 0;    // length it was trained at; 0: unknown. A limit only where the version says so
  // Ranks of low-rank matrices; 0: the version's own rule.
  int64_t rank_decay = 0, rank_a = 0, rank_v = 0, rank_gate = 0, rank_mix = 0;

  // Options, off at 0; a version takes those it names (model_options()).
  int64_t head_qk = 0;           // width of Head-QK: the output copies tokens that it attends to
  int64_t head_qk_max = 0;       // of a repeated token counts the largest weight, not the sum
  int64_t pre_ffn = 0;           // block 0 has a second channel mix instead of time mixing
  int64_t self_attention = 0;    // attention beside time mixing
  int64_t mish_glu = 0;          // channel mixing is gated by mish instead of a receptance
  int64_t small_init_emb = 0;    // the embedding starts tiny, and a layer norm follows it
  int64_t ffn_gate = 0;          // a receptance in the channel mixing of an attention model
  int64_t ffn_relu_squared = 0;  // squared ReLU there instead of GeGLU
  int64_t tiny_att_dim = 0;      // width of tiny attention
  int64_t tiny_att_layer = 0;    // the block behind which it stands
  // How many tokens above the channels look in token shifts: "2", or "4,2,1" for as many equal parts of the
  // channels. Empty: as the version does.
  std::string token_shift{};
  int64_t trainable_state = 0;  // the state before the first token is learned

  bool operator==(const ModelConfig&) const = default;
};

// Every number of a config by name, for files and settings.
struct ConfigNumber {
  const char* name;
  int64_t ModelConfig::*member;
};
std::span<const ConfigNumber> config_numbers();

// Options by name, with a value to try them at and a line of help.
struct ModelOption {
  const char* name;
  int64_t ModelConfig::*member;
  int64_t sample;
  const char* help;
};
std::span<const ModelOption> model_options();

// The distance of each of `channels` that a token_shift names. Throws Error.
std::vector<int32_t> shift_distances(const std::string& token_shift, int64_t channels);

}  // namespace aviary
