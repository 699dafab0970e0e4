// What rwkv.cpp's python/convert_pytorch_to_ggml.py did to the tensors, undone:
//   all     axes of size 1 of the `time_` tensors were dropped;
//   v4      time_decay is -exp(w);
//   v5      time_decay is exp(-exp(w)), [H, N, 1] or [H, 1, 1]; time_first is exp(u), [H, 1, 1];
//           time_faaaa is [H, N, 1];
//   v6      time_faaaa as in v5; the low-rank matrices are transposed; newer files have time_decay as [H, N,
//   1]; v7      the low-rank matrices are transposed; the six x_ of time mixing are one tensor [6, 1, C], in
//   the
//           order r, w, k, v, a, g.
#include <fmt/ranges.h>

#include <cmath>

#include "formats/bytes.h"
#include "formats/dialects.h"

namespace aviary {
namespace {

bool has(const TensorTable& table, std::string_view name) {
  for (const TensorEntry& tensor : table.tensors)
    if (tensor.name == name) return true;
  return false;
}

// As the converter tells them apart.
int version_of(const TensorTable& table) {
  if (has(table, "blocks.0.att.k_k")) return 7;
  if (has(table, "blocks.0.att.time_maa_x")) return 6;
  return has(table, "blocks.0.att.ln_x.weight") ? 5 : 4;
}

// u from y = exp(u); where y was rounded to 0, the largest u for which that happens.
double log_of(double y) { return std::log(y == 0 ? 0x1p-150 : y); }
// w from y = exp(-exp(w)); where y was rounded to 1, the largest w for which that happens.
double log_log_of(double y) { return log_of(-log_of(y == 1 ? 1 - 0x1p-26 : y)); }

template <typename Function>
TensorEntry changed(TensorTable& table, const TensorEntry& tensor, Function function) {
  std::vector<float> numbers;
  for (double value : to_doubles(tensor)) numbers.push_back(static_cast<float>(function(value)));
  return made_tensor(table, tensor.name, tensor.shape, numbers);
}

// A tensor of n numbers of the original shape.
TensorEntry reshaped(TensorEntry tensor, std::vector<int64_t> shape, const std::string& where) {
  return renamed(tensor, tensor.name, std::move(shape), where);
}
// [H, N, 1] -> [H, N]; [H, 1, 1] or [H, 1] -> [H].
TensorEntry by_heads(TensorEntry tensor, const std::string& where) {
  std::vector<int64_t> shape = tensor.shape;
  while (shape.size() > 1 && shape.back() == 1) shape.pop_back();
  return reshaped(std::move(tensor), std::move(shape), where);
}
TensorEntry as_row(TensorEntry tensor, const std::string& where) {
  const int64_t count = count_of(tensor);
  return reshaped(std::move(tensor), {1, 1, count}, where);
}

bool is_low_rank(std::string_view name) {
  for (std::string_view end : {".w1", ".w2", ".a1", ".a2", ".v1", ".v2", ".g1", ".g2", ".time_maa_w1",
                               ".time_maa_w2", ".time_decay_w1", ".time_decay_w2"})
    if (name.ends_with(end)) return true;
  return false;
}

void split_shift(const TensorEntry& tensor, const std::string& where, std::vector<TensorEntry>& out) {
  constexpr std::string_view order = "rwkvag";  // also the end of the name
  require(
      tensor.shape.size() == 3 && tensor.shape[0] == 6 && tensor.shape[1] == 1 && !is_quantized(tensor.dtype),
      "{}: tensor {} has the shape [{}] of {}, expected six rows [6, 1, width] of plain numbers", where,
      in_quotes(tensor.name), fmt::join(tensor.shape, ", "), name_of(tensor.dtype));
  const std::string prefix = tensor.name.substr(0, tensor.name.size() - order.size());
  const size_t row = tensor.data.size() / order.size();
  for (size_t i = 0; i < order.size(); ++i)
    out.push_back({.name = prefix + order[i],
                   .dtype = tensor.dtype,
                   .shape = {1, 1, tensor.shape[2]},
                   .data = tensor.data.subspan(i * row, row)});
}

TensorEntry undo(TensorTable& table, const TensorEntry& tensor, int version, const std::string& where) {
  const std::string_view name = tensor.name;
  if (version >= 6 && is_low_rank(name)) return transposed(table, tensor, tensor.name, where);
  if (name.find(".time_mix_") != name.npos || name.find(".time_maa_") != name.npos)
    return as_row(tensor, where);
  if (name.ends_with(".time_decay")) {
    if (version == 4) return changed(table, tensor, [](double y) { return log_of(-y); });
    if (version == 5) return by_heads(changed(table, tensor, log_log_of), where);
    if (version == 6) return as_row(tensor, where);
  }
  if (name.ends_with(".time_first") && version == 5) return by_heads(changed(table, tensor, log_of), where);
  if (name.ends_with(".time_faaaa")) return by_heads(tensor, where);
  return tensor;
}

TensorTable translate(TensorTable table, const std::string& where) {
  const int version = version_of(table);
  const std::vector<TensorEntry> stored = std::move(table.tensors);
  std::vector<TensorEntry> original;
  for (const TensorEntry& tensor : stored)
    if (version == 7 && tensor.name.ends_with(".att.x_rwkvag"))
      split_shift(tensor, where, original);
    else
      original.push_back(undo(table, tensor, version, where));
  table.tensors = std::move(original);
  return table;
}

}  // namespace

const Dialect rwkv_cpp_dialect{
    .name = "rwkv.cpp",
    .recognize = [](const TensorTable& table) { return table.format == "rwkv.cpp"; },
    .translate = translate,
};

}  // namespace aviary
