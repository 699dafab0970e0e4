// RWKV-4 in transformers (models/rwkv/convert_rwkv_checkpoint_to_hf.py), and RWKV-5 and 6 in the folders on
// the hub, which follow the same rules. The numbers are unchanged.
#include <algorithm>

#include "formats/dialects.h"

namespace aviary {
namespace {

constexpr std::string_view block = "rwkv.blocks.";
constexpr Replacement replacements[] = {
    {"rwkv.embeddings.", "emb."},
    {"rwkv.ln_out.", "ln_out."},
    {block, "blocks."},
    {".pre_ln.", ".ln0."},
    {".attention.", ".att."},
    {".feed_forward.", ".ffn."},
    {".time_mix_key", ".time_mix_k"},
    {".time_mix_value", ".time_mix_v"},
    {".time_mix_receptance", ".time_mix_r"},
    {".time_mix_gate", ".time_mix_g"},
};

bool recognize(const TensorTable& table) {
  return std::any_of(table.tensors.begin(), table.tensors.end(),
                     [](const TensorEntry& tensor) { return tensor.name.starts_with(block); });
}

TensorTable translate(TensorTable table, const std::string& where) {
  for (TensorEntry& tensor : table.tensors) {
    tensor.name = replaced(tensor.name, replacements);
    tensor = with_original_axes(tensor, where);
  }
  return table;
}

}  // namespace

const Dialect hugging_face_dialect{.name = "Hugging Face", .recognize = recognize, .translate = translate};

}  // namespace aviary
