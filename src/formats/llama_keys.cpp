#include "formats/llama_keys.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "formats/bytes.h"
#include "formats/dialects.h"

namespace aviary {
namespace {

// A size that a tensor shows as well. Negative axes count from the end.
struct SizeKey {
  std::string_view key, tensor;
  int axis;
};
constexpr SizeKey sizes[] = {
    {"embedding_length", "emb.weight", 1},
    {"vocab_size", "emb.weight", 0},
    {"feed_forward_length", "blocks.0.ffn.key.weight", 0},
    {"wkv.head_size", "blocks.0.att.r_k", 1},
    {"wkv.head_size", "blocks.0.att.time_faaaa", 1},
    {"attention.decay_lora_rank", "blocks.0.att.w1", -1},
    {"attention.iclr_lora_rank", "blocks.0.att.a1", -1},
    {"attention.value_residual_mix_lora_rank", "blocks.1.att.v1", -1},
    {"attention.gate_lora_rank", "blocks.0.att.g1", -1},
    {"time_mix_extra_dim", "blocks.0.att.time_maa_w2", -2},
    {"time_decay_extra_dim", "blocks.0.att.time_decay_w1", -1},
};

// A number that the computation here has built in.
struct ValueKey {
  std::string_view key;
  double value;
};
constexpr ValueKey values[] = {
    {"attention.layer_norm_epsilon", 1e-5},
    {"attention.group_norm_epsilon", 64e-5},
    {"token_shift_count", 2},  // one before time mixing, one before channel mixing
};

// Obeyed where the tensors are translated (dialect_llama.cpp), or without effect: RWKV has neither attention,
// nor positions, nor experts, and reads texts of any length.
constexpr std::string_view others[] = {"rescale_every_n_layers",
                                       "block_count",
                                       "context_length",
                                       "attention.head_count",
                                       "attention.head_count_kv",
                                       "attention.key_length",
                                       "attention.value_length",
                                       "attention.layer_norm_rms_epsilon",
                                       "rope.dimension_count",
                                       "rope.freq_base",
                                       "expert_count",
                                       "expert_used_count",
                                       "pooling_type",
                                       "tensor_data_layout"};

double number_of(std::string_view text) {
  double number = NAN;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : NAN;
}

class Check {
 public:
  Check(const TensorTable& table, const std::string& architecture, const std::string& where)
      : table_(table), architecture_(architecture), where_(where) {}

  // Whether the key is known here.
  bool knows(std::string_view key, const std::string& text) const {
    bool known = std::find(std::begin(others), std::end(others), key) != std::end(others);
    if (key == "block_count") require_size(key, text, layers_in(table_), "blocks");
    if (key == "attention.causal") {
      known = true;
      require(text == "true", "{}: the key {}.{} is {}, but RWKV reads a text in one direction", where_,
              architecture_, key, in_quotes(text));
    }
    for (const SizeKey& size : sizes)
      if (size.key == key) {
        known = true;
        if (const int64_t there = size_in(table_, size.tensor, size.axis))
          require_size(key, text, there, size.tensor);
      }
    for (const ValueKey& value : values)
      if (value.key == key) {
        known = true;
        require(std::abs(number_of(text) - value.value) <= 1e-6 * value.value,
                "{}: the key {}.{} is {}, expected {}, with which this program computes", where_,
                architecture_, key, in_quotes(text), value.value);
      }
    return known;
  }

 private:
  void require_size(std::string_view key, const std::string& text, int64_t size,
                    std::string_view tensor) const {
    require(number_of(text) == static_cast<double>(size),
            "{}: the key {}.{} is {}, but {} shows {}; the file is damaged", where_, architecture_, key,
            in_quotes(text), tensor, size);
  }

  const TensorTable& table_;
  const std::string& architecture_;
  const std::string& where_;
};

}  // namespace

void check_llama_keys(TensorTable& table, const std::string& architecture, const std::string& where) {
  const std::string prefix = architecture + ".";
  const Check check(table, architecture, where);
  for (auto at = table.metadata.lower_bound(prefix);
       at != table.metadata.end() && at->first.starts_with(prefix); ++at)
    if (!check.knows(std::string_view(at->first).substr(prefix.size()), at->second))
      table.notes.push_back(fmt::format(
          "the file has the key {} = {}, which this program does not know and leaves out of account",
          in_quotes(at->first), in_quotes(at->second)));
}

}  // namespace aviary
