// RWKV-4 in transformers (models/rwkv/convert_rwkv_checkpoint_to_hf.py), and RWKV-5 and 6 in the folders on
// the hub, which follow the same rules. The numbers are unchanged.
#include <algorithm>

#include "formats/dialects.h"

namespace aviary {
namespace {

constexpr std::string_view hugging_face_block = "rwkv.blocks.";
constexpr Replacement hugging_face_replacements[] = {
    {"rwkv.embeddings.", "emb."},
    {"rwkv.ln_out.", "ln_out."},
    {hugging_face_block, "blocks."},
    {".pre_ln.", ".ln0."},
    {".attention.", ".att."},
    {".feed_forward.", ".ffn."},
    {".time_mix_key", ".time_mix_k"},
    {".time_mix_value", ".time_mix_v"},
    {".time_mix_receptance", ".time_mix_r"},
    {".time_mix_gate", ".time_mix_g"},
};

bool recognize_hugging_face(const TensorTable& table) {
  return std::any_of(table.tensors.begin(), table.tensors.end(),
                     [](const TensorEntry& tensor) { return tensor.name.starts_with(hugging_face_block); });
}

TensorTable translate_hugging_face(TensorTable table, const std::string& where) {
  for (TensorEntry& tensor : table.tensors) {
    tensor.name = replaced(tensor.name, hugging_face_replacements);
    tensor = with_original_axes(tensor, where);
  }
  return table;
}

}  // namespace

const Dialect hugging_face_dialect{
    .name = "Hugging Face", .recognize = recognize_hugging_face, .translate = translate_hugging_face};

}  // namespace aviary
