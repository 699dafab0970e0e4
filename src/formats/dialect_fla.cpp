// RWKV-7 in flash-linear-attention (fla/layers/rwkv7.py, utils/convert_from_rwkv7.py): a low-rank projection
// is two linear layers, so its matrices are transposed, and the bias of the second is w0, a0 or v0. In early
// files the six mixtures of the token shift are one tensor x_x.
#include <algorithm>
#include <utility>

#include "formats/bytes.h"
#include "formats/dialects.h"

namespace aviary {
namespace {

constexpr std::string_view fla_block = "model.layers.", joined_shift = "x_x";
constexpr Replacement fla_replacements[] = {
    {"model.embeddings.", "emb."}, {"model.norm.", "ln_out."},   {"lm_head.", "head."},
    {fla_block, "blocks."},        {".pre_norm.", ".ln0."},      {".attn_norm.", ".ln1."},
    {".ffn_norm.", ".ln2."},       {".attn.", ".att."},          {".r_proj.", ".receptance."},
    {".k_proj.", ".key."},         {".v_proj.", ".value."},      {".o_proj.", ".output."},
    {".g_norm.", ".ln_x."},        {"_lora.lora.0.weight", "1"}, {"_lora.lora.2.weight", "2"},
    {"_lora.lora.2.bias", "0"},
};

bool recognize_fla(const TensorTable& table) {
  return std::any_of(table.tensors.begin(), table.tensors.end(), [](const TensorEntry& tensor) {
    return tensor.name.starts_with(fla_block) && tensor.name.find(".attn.w_lora.lora.") != std::string::npos;
  });
}

TensorTable translate_fla(TensorTable table, const std::string& where) {
  const std::vector<TensorEntry> stored = std::move(table.tensors);
  std::vector<TensorEntry> original;
  for (TensorEntry tensor : stored) {
    const std::string fla_name = std::exchange(tensor.name, replaced(tensor.name, fla_replacements));
    if (tensor.name.ends_with(".att.x_x"))
      split_token_shift(tensor, tensor.name.substr(0, tensor.name.size() - joined_shift.size()), where,
                        original);
    else if (fla_name.ends_with(".weight") && is_low_rank(tensor.name))
      original.push_back(transposed(table, tensor, tensor.name, where));
    else
      original.push_back(with_original_axes(tensor, where));
  }
  table.tensors = std::move(original);
  return table;
}

}  // namespace

const Dialect fla_dialect{.name = "fla", .recognize = recognize_fla, .translate = translate_fla};

}  // namespace aviary
