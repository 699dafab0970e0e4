// The sizes that make a model of a version.
#pragma once

#include <cstdint>
#include <string>

namespace aviary {

struct ModelConfig {
  std::string version;  // a registered name: "rwkv4", "rwkv7"
  std::string
      recipe;  // initialization and learning rates, where a version has several; empty: the default one
  int64_t n_layer = 0;
  int64_t n_embd = 0;
  int64_t vocab_size = 0;
  int64_t head_size = 0;  // versions with heads
  int64_t dim_ffn = 0;    // 0: the version's own rule
  int64_t ctx_len = 0;    // length it was trained at; 0: unknown. Not a limit of versions with a finite state
  // Ranks of RWKV-7's low-rank matrices; 0: the version's own rule.
  int64_t rank_decay = 0, rank_a = 0, rank_v = 0, rank_gate = 0;

  bool operator==(const ModelConfig&) const = default;
};

}  // namespace aviary
