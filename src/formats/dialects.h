// Other programs give the tensors of a model other names, and store some of them transposed, joined or
// changed. A dialect is one such convention; here each is translated into that of the original trainers,
// once, when a file is opened.
#pragma once

#include <string>
#include <string_view>

#include "formats/tensor_table.h"

namespace aviary {

struct Dialect {
  std::string_view name;  // "llama.cpp"
  bool (*recognize)(const TensorTable& table);
  // Throws Error, beginning with `where`, when a tensor is missing or has an impossible shape.
  TensorTable (*translate)(TensorTable table, const std::string& where);
};

// One file each, dialect_<name>.cpp.
extern const Dialect llama_dialect, rwkv_cpp_dialect, fla_dialect, hugging_face_dialect, web_rwkv_dialect;

// The table itself when its names are the original ones or nobody's that we know. Throws Error when the
// translation gives two tensors the same name.
TensorTable to_original_names(TensorTable table, const std::string& where);

// ---- For the dialects.

// A tensor of f32 numbers that no file holds; its data lives in table.buffers.
TensorEntry made_tensor(TensorTable& table, std::string name, std::vector<int64_t> shape,
                        std::span<const float> numbers);
// The last two axes exchanged, as table.of_transposed says. A block type becomes f32, for its blocks would
// run across the new rows. Throws Error when there are fewer than two axes.
TensorEntry transposed(TensorTable& table, const TensorEntry& tensor, std::string name,
                       const std::string& where);
// The same numbers with another name and shape. Throws Error when the sizes do not fit.
TensorEntry renamed(const TensorEntry& tensor, std::string name, std::vector<int64_t> shape,
                    const std::string& where);

// Every `from` in the name becomes its `to`, row after row.
struct Replacement {
  std::string_view from, to;
};
std::string replaced(std::string name, std::span<const Replacement> replacements);

// The two matrices of a low-rank pair, by their original name: "...att.w1", "...att.time_maa_w2".
bool is_low_rank(std::string_view name);

// The original trainers store many vectors as [1, 1, C]. The tensor itself, with this shape where its name is
// that of such a vector and another program dropped the axes of 1.
TensorEntry with_original_axes(const TensorEntry& tensor, const std::string& where);

// The six mixtures of RWKV-7's token shift, [1, 1, C] each, from one tensor of six rows in the order r, w, k,
// v, a, g; `prefix` is "blocks.0.att.".
void split_token_shift(const TensorEntry& joined, const std::string& prefix, const std::string& where,
                       std::vector<TensorEntry>& out);

}  // namespace aviary
