#include "formats/folder_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/bytes.h"
#include "formats/dialects.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

// A size that a tensor shows as well. Negative axes count from the end.
struct FolderSizeKey {
  std::string_view key, tensor;
  int axis;
};
constexpr FolderSizeKey folder_sizes[] = {
    {"hidden_size", "emb.weight", 1},
    {"vocab_size", "emb.weight", 0},
    {"intermediate_size", "blocks.0.ffn.key.weight", 0},
    {"attention_hidden_size", "blocks.0.att.key.weight", 0},
    {"head_size", "blocks.0.att.time_faaaa", 1},
    {"head_dim", "blocks.0.att.r_k", 1},
    {"decay_low_rank_dim", "blocks.0.att.w1", -1},
    {"a_low_rank_dim", "blocks.0.att.a1", -1},
    {"v_low_rank_dim", "blocks.1.att.v1", -1},
    {"gate_low_rank_dim", "blocks.0.att.g1", -1},
};

// A number that the computation here has built in.
struct FolderValueKey {
  std::string_view key;
  double value;
};
constexpr FolderValueKey folder_values[] = {
    {"norm_eps", 1e-5},           {"layer_norm_eps", 1e-5},
    {"layer_norm_epsilon", 1e-5}, {"head_size_divisor", 8},  // of the numbers before the group norm
    {"logit_scale", 1},
};

// Obeyed below, shown by the tensors, or without effect on what the model computes.
constexpr std::string_view other_folder_keys[] = {
    "tie_word_embeddings",
    "num_hidden_layers",
    "hidden_act",
    "_name_or_path",
    "a_bias",
    "architectures",
    "attention_mode",
    "attn",
    "attn_mode",
    "auto_map",
    "bos_token_id",
    "context_length",
    "dtype",
    "eos_token_id",
    "fuse_cross_entropy",
    "fuse_linear_cross_entropy",
    "fuse_norm",
    "gradient_checkpointing",
    "hidden_ratio",
    "initializer_range",
    "lora_rank_decay",
    "lora_rank_tokenshift",
    "max_position_embeddings",
    "model_type",
    "model_version",
    "norm_bias",
    "norm_first",
    "num_attention_heads",
    "num_heads",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "rescale_every",  // for half precision; undone by what it divides
    "return_dict",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "unk_token_id",
    "use_cache",
    "use_l2warp",
    "value_dim",
};

bool is_known(std::string_view key) {
  const auto is_key = [&](const auto& row) { return row.key == key; };
  return std::any_of(std::begin(folder_sizes), std::end(folder_sizes), is_key) ||
         std::any_of(std::begin(folder_values), std::end(folder_values), is_key) ||
         std::find(std::begin(other_folder_keys), std::end(other_folder_keys), key) !=
             std::end(other_folder_keys);
}

void require_size(const Json& config, std::string_view key, int64_t size, std::string_view source,
                  const std::string& where) {
  const auto value = config.find(key);
  if (value == config.end() || value->is_null() || size == 0) return;
  require(*value == size, "{}: {} is {}, but {} shows {}; is this the config of another model?", where, key,
          in_quotes(value->dump()), source, size);
}

void require_number(const Json& config, std::string_view key, double expected, const std::string& where) {
  const auto value = config.find(key);
  if (value == config.end() || value->is_null()) return;
  require(value->is_number() && std::abs(value->get<double>() - expected) <= 1e-6 * expected,
          "{}: {} is {}, expected {}, which the original models have and this program computes with", where,
          key, in_quotes(value->dump()), expected);
}

// The output matrix of a model that has the embedding in its place.
void share_embedding(const std::string& where, TensorTable& table) {
  const TensorEntry *emb = find_tensor(table, "emb.weight"), *head = find_tensor(table, "head.weight");
  if (!emb) return;
  require(
      !head || (head->dtype == emb->dtype && std::ranges::equal(head->stored(), emb->stored())),
      "{}: tie_word_embeddings is true, but the file has an output matrix that is not the embedding; which "
      "of the two is meant?",
      where);
  if (head) return;
  TensorEntry shared = *emb;
  shared.name = "head.weight";
  table.tensors.push_back(std::move(shared));
}

}  // namespace

void obey_config(const Json& config, const std::string& where, TensorTable& table) {
  if (const auto tied = config.find("tie_word_embeddings"); tied != config.end() && *tied == true)
    share_embedding(where, table);
  for (const FolderSizeKey& size : folder_sizes)
    require_size(config, size.key, size_in(table, size.tensor, size.axis), size.tensor, where);
  require_size(config, "num_hidden_layers", layers_in(table), "blocks", where);
  for (const FolderValueKey& value : folder_values) require_number(config, value.key, value.value, where);
  if (table.dialect == fla_dialect.name) {
    // The group norm adds head_dim * norm_eps, the original 64e-5.
    require_number(config, "head_dim", 64, where);
    const auto activation = config.find("hidden_act");
    require(activation == config.end() || *activation == "sqrelu",
            "{}: hidden_act is {}, expected sqrelu, the squared ReLU of RWKV-7", where,
            in_quotes(activation == config.end() ? "" : activation->dump()));
  }
  std::vector<std::string> unknown;
  for (const auto& [key, value] : config.items())
    if (!is_known(key) && !value.is_null()) unknown.push_back(in_quotes(key));
  if (!unknown.empty())
    table.notes.push_back(fmt::format("{}: this program does not know {} and leaves {} out of account",
                                      printable(where), fmt::join(unknown, ", "),
                                      unknown.size() == 1 ? "it" : "them"));
}

namespace {

// What programs call the token 0 of the World vocabularies, which has no spelling.
constexpr std::string_view names_of_world_end[] = {"<s>", "<|endoftext|>", "<|rwkv_tokenizer_end_of_text|>"};

// bos_token is a text or an object with its content; empty if there is none.
std::string bos_token_of(const Json& config) {
  const auto token = config.find("bos_token");
  if (token == config.end()) return "";
  if (token->is_string()) return token->get<std::string>();
  const Json content = token->is_object() ? token->value("content", Json()) : Json();
  return content.is_string() ? content.get<std::string>() : "";
}

// Whether the token before a text is the end of text. The file may list tokens: {"0": {"content": "<s>"}}.
bool is_end_of_text(const std::string& bos, const Json& config, const Tokenizer& tokenizer) {
  const std::optional<int32_t> end = tokenizer.end_of_text();
  if (!end) return false;
  if (const auto added = config.find("added_tokens_decoder"); added != config.end() && added->is_object())
    for (const auto& [id, token] : added->items())
      if (token.is_object() && token.value("content", Json()) == bos) return id == fmt::format("{}", *end);
  if (tokenizer.kind() == "world")
    return std::ranges::find(names_of_world_end, bos) != std::end(names_of_world_end);
  return tokenizer.bytes_of(*end) == bos;
}

}  // namespace

void obey_tokenizer_config(const Json& config, const std::string& where, const Tokenizer* tokenizer,
                           TensorTable& table) {
  const auto says = [&](const char* key, bool value) {
    const auto found = config.find(key);
    return found != config.end() && *found == value;
  };
  const std::string bos = bos_token_of(config);
  if (says("add_bos_token", false))
    table.metadata.emplace("aviary.begin_token", "none");
  else if (says("add_bos_token", true) && tokenizer && is_end_of_text(bos, config, *tokenizer))
    table.metadata.emplace("aviary.begin_token", "end_of_text");
  else if (says("add_bos_token", true))
    table.notes.push_back(fmt::format(
        "{}: add_bos_token asks for the token {} before a text, which is not known as the end of text of the "
        "vocabulary and is not read; --begin-token reads the end of text",
        printable(where), in_quotes(bos)));
  if (says("add_eos_token", true))
    table.notes.push_back(fmt::format(
        "{}: add_eos_token asks for a token after a text, where this program reads none", printable(where)));
}

}  // namespace aviary
