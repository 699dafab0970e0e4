// The .st files of web-rwkv and ai00 (assets/scripts/convert_safetensors.py of web-rwkv): time_faaaa is
// called time_first, time_maa is called time_mix, and the last two axes of the low-rank matrices are
// exchanged. RWKV-4 has neither, so its files need no translation; RWKV-7 has only the transposition.
#include <algorithm>

#include "formats/dialects.h"

namespace aviary {
namespace {

constexpr Replacement maa[] = {{".time_mix_", ".time_maa_"}, {".time_first", ".time_faaaa"}};
constexpr Replacement faaaa[] = {{".time_first", ".time_faaaa"}};

bool is_version6(const TensorTable& table) {
  return find_tensor(table, "blocks.0.att.time_mix_x") != nullptr;
}

// In RWKV-5.2 the bonus has one number per channel, [heads, head size], and is called time_faaaa.
bool is_version5(const TensorTable& table) {
  const TensorEntry* first = find_tensor(table, "blocks.0.att.time_first");
  const TensorEntry* norm = find_tensor(table, "blocks.0.att.ln_x.weight");
  return first && norm && first->shape.size() == 2 && first->shape[1] > 1;
}

// Recognized by a first low-rank matrix whose number of columns is the width. A square one, in a tiny model,
// is ambiguous.
bool is_version7(const TensorTable& table) {
  const TensorEntry* emb = find_tensor(table, "emb.weight");
  if (!emb || emb->shape.size() != 2) return false;
  const int64_t width = emb->shape[1];
  for (const char* name : {"w1", "a1", "g1"}) {
    const TensorEntry* down = find_tensor(table, std::string("blocks.0.att.") + name);
    if (down && down->shape.size() == 2 && down->shape[0] != down->shape[1]) return down->shape[1] == width;
  }
  return false;
}

bool is_time_state(const TensorEntry& tensor) { return tensor.name.ends_with(".att.time_state"); }

bool is_state(const TensorTable& table) {
  const std::map<std::string, std::string> converted = {{"format", "pt"}};
  return !table.tensors.empty() && table.metadata == converted &&
         std::all_of(table.tensors.begin(), table.tensors.end(), [](const TensorEntry& tensor) {
           return is_time_state(tensor) && tensor.dtype == Dtype::f16;
         });
}

bool recognize_web_rwkv(const TensorTable& table) {
  return table.format == "safetensors" &&
         (is_version5(table) || is_version6(table) || is_version7(table) || is_state(table));
}

TensorTable translate_web_rwkv(TensorTable table, const std::string& where) {
  const bool version6 = is_version6(table), version5 = !version6 && is_version5(table);
  if (is_state(table)) table.metadata.clear();  // a copy must not be translated again
  for (size_t i = 0; i < table.tensors.size(); ++i) {
    TensorEntry tensor = table.tensors[i];
    if (version6) tensor.name = replaced(tensor.name, maa);
    if (version5) tensor.name = replaced(tensor.name, faaaa);
    if (is_low_rank(tensor.name) || is_time_state(tensor))
      tensor = transposed(table, tensor, tensor.name, where);
    table.tensors[i] = with_original_axes(tensor, where);
  }
  return table;
}

}  // namespace

const Dialect web_rwkv_dialect{
    .name = "web-rwkv", .recognize = recognize_web_rwkv, .translate = translate_web_rwkv};

}  // namespace aviary
