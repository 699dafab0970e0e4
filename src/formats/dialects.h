// Other programs use other names for the tensors of a model, and store some of them transposed, joined or
// changed. A dialect is one such convention. It is translated into that of the original trainers once, when a
// file is opened.
#pragma once

#include <string>
#include <string_view>

#include "formats/tensor_table.h"

namespace aviary {

struct Dialect {
  std::string_view name;  // "llama.cpp"
  bool (*recognize)(const TensorTable& table);
  // Throws Error, beginning with `where`, if a tensor is missing or has an invalid shape.
  TensorTable (*translate)(TensorTable table, const std::string& where);
};

// Each has its own file, dialect_<name>.cpp.
extern const Dialect llama_dialect, rwkv_cpp_dialect, fla_dialect, hugging_face_dialect, web_rwkv_dialect;

// Translates the table, without the prefixes of trainers (formats/trainer_names.h); returns it unchanged if
// its names are the original ones or of an unknown dialect. Throws Error if the translation gives two tensors
// the same name.
TensorTable to_original_names(TensorTable table, const std::string& where);

// ---- Helpers for dialects.

// Null if there is none.
const TensorEntry* find_tensor(const TensorTable& table, std::string_view name);
// The size of an axis of a tensor, counted from the end if it is negative; 0 if there is no such tensor or
// axis.
int64_t size_in(const TensorTable& table, std::string_view name, int axis);
// 1 + the largest i of "blocks.<i>."; 0 if there is none.
int64_t layers_in(const TensorTable& table);

// A tensor of f32 numbers that are not in a file; its data is in table.buffers.
TensorEntry made_tensor(TensorTable& table, std::string name, std::vector<int64_t> shape,
                        std::span<const float> numbers);
// The tensor with its last two axes swapped, copied or in place according to table.of_transposed. A block
// format becomes f32, because its blocks would run across the new rows. Throws Error if there are fewer than
// two axes.
TensorEntry transposed(TensorTable& table, const TensorEntry& tensor, std::string name,
                       const std::string& where);
// The same numbers with another name and shape. Throws Error if the sizes do not match.
TensorEntry renamed(const TensorEntry& tensor, std::string name, std::vector<int64_t> shape,
                    const std::string& where);

// Replaces every `from` in the name by its `to`, in the order of the list.
struct Replacement {
  std::string_view from, to;
};
std::string replaced(std::string name, std::span<const Replacement> replacements);

// Whether this is the original name of a matrix of a low-rank projection: "...att.w1", "...att.time_maa_w2".
bool is_low_rank(std::string_view name);

// The original trainers store many vectors as [1, 1, C]. Returns the tensor, with this shape if its name is
// that of such a vector and another program dropped the axes of size 1.
TensorEntry with_original_axes(const TensorEntry& tensor, const std::string& where);

// The six mixtures of RWKV-7's token shift, [1, 1, C] each, from one tensor of six rows in the order r, w, k,
// v, a, g; `prefix` is "blocks.0.att.".
void split_token_shift(const TensorEntry& joined, const std::string& prefix, const std::string& where,
                       std::vector<TensorEntry>& out);

}  // namespace aviary
