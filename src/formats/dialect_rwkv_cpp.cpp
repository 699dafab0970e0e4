// Undoes the changes that rwkv.cpp's python/convert_pytorch_to_ggml.py makes to tensors:
//   all     axes of size 1 of the `time_` tensors were dropped;
//   v4      time_decay is -exp(w);
//   v5      time_decay is exp(-exp(w)), [H, N, 1] or [H, 1, 1]; time_first is exp(u), [H, 1, 1];
//           time_faaaa is [H, N, 1];
//   v6      time_faaaa as in v5; the low-rank matrices are transposed;
//           in newer files time_decay is [H, N, 1];
//   v7      the low-rank matrices are transposed;
//           the six x_ of time mixing are one tensor [6, 1, C], in the order r, w, k, v, a, g.
#include <fmt/ranges.h>

#include <cmath>

#include "formats/bytes.h"
#include "formats/dialects.h"

namespace aviary {
namespace {

// Recognizes the version in the same way as the converter.
int version_of(const TensorTable& table) {
  if (find_tensor(table, "blocks.0.att.k_k")) return 7;
  if (find_tensor(table, "blocks.0.att.time_maa_x")) return 6;
  return find_tensor(table, "blocks.0.att.ln_x.weight") ? 5 : 4;
}

// u from y = exp(u); if y was rounded to 0, the largest u for which that happens.
double log_of(double y) { return std::log(y == 0 ? 0x1p-150 : y); }
// w from y = exp(-exp(w)); if y was rounded to 1, the largest w for which that happens.
double log_log_of(double y) { return log_of(-log_of(y == 1 ? 1 - 0x1p-26 : y)); }

template <typename Function>
TensorEntry changed(TensorTable& table, const TensorEntry& tensor, Function function) {
  std::vector<float> numbers;
  for (double value : to_doubles(tensor)) numbers.push_back(static_cast<float>(function(value)));
  return made_tensor(table, tensor.name, tensor.shape, numbers);
}

// A tensor with n numbers in the original shape.
TensorEntry reshaped(TensorEntry tensor, std::vector<int64_t> shape, const std::string& where) {
  return renamed(tensor, tensor.name, std::move(shape), where);
}
// [H, N, 1] -> [H, N]; [H, 1, 1] or [H, 1] -> [H].
TensorEntry by_heads(TensorEntry tensor, const std::string& where) {
  std::vector<int64_t> shape = tensor.shape;
  while (shape.size() > 1 && shape.back() == 1) shape.pop_back();
  return reshaped(std::move(tensor), std::move(shape), where);
}
bool is_transposed(std::string_view name, int version) {
  const bool known =
      version == 7 || name.find(".time_maa_w") != name.npos || name.find(".time_decay_w") != name.npos;
  return version >= 6 && known && is_low_rank(name);
}

TensorEntry undo(TensorTable& table, const TensorEntry& tensor, int version, const std::string& where) {
  const std::string_view name = tensor.name;
  if (is_transposed(name, version)) return transposed(table, tensor, tensor.name, where);
  if (name.ends_with(".time_decay")) {
    if (version == 4) return changed(table, tensor, [](double y) { return log_of(-y); });
    if (version == 5) return by_heads(changed(table, tensor, log_log_of), where);
    if (version == 6) return reshaped(tensor, {1, 1, count_of(tensor)}, where);
  }
  if (name.ends_with(".time_first") && version == 5) return by_heads(changed(table, tensor, log_of), where);
  if (name.ends_with(".time_faaaa")) return by_heads(tensor, where);
  return with_original_axes(tensor, where);
}

TensorTable translate_rwkv_cpp(TensorTable table, const std::string& where) {
  constexpr std::string_view joined_shift = "x_rwkvag";
  const int version = version_of(table);
  const std::vector<TensorEntry> stored = std::move(table.tensors);
  std::vector<TensorEntry> original;
  for (const TensorEntry& tensor : stored)
    if (version == 7 && tensor.name.ends_with(joined_shift))
      split_token_shift(tensor, tensor.name.substr(0, tensor.name.size() - joined_shift.size()), where,
                        original);
    else
      original.push_back(undo(table, tensor, version, where));
  table.tensors = std::move(original);
  return table;
}

}  // namespace

const Dialect rwkv_cpp_dialect{
    .name = "rwkv.cpp",
    .recognize = [](const TensorTable& table) { return table.format == "rwkv.cpp"; },
    .translate = translate_rwkv_cpp,
};

}  // namespace aviary
