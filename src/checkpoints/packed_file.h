// A model's packed weights in a file beside it, so that loading neither reads the model's own numbers nor
// packs them: FILE.packed is mapped, and processes that run the model share its memory.
//
// It is a safetensors file of bytes, a tensor "blocks.0.att.key.weight#0" for every packed matrix (of a stack
// several). Its metadata say of which file they are, for which layout and precision, and what each is.
#pragma once

#include <filesystem>
#include <memory>

#include "formats/tensor_file.h"
#include "kernels/matmul.h"
#include "models/model.h"

namespace aviary {

// FILE.packed, beside the file or folder.
std::filesystem::path packed_path(const std::filesystem::path& model);

bool is_packed(const TensorFile& file);

// What a packed file is good for: this model file, told by the sizes and times of its files and some bytes of
// each tensor; CPUs with the layout that the kernels have now, told by a matrix of every type as they pack
// it; and the precision of products with float32 weights.
struct PackedKey {
  uint64_t source = 0, layout = 0;
  kernels::Precision precision = kernels::Precision::f32;
};
PackedKey packed_key(const TensorFile& source);

// Gives the weights of `model` the packed matrices that the file holds. False, and nothing is changed, when
// there is no such file, or it has another key, is damaged or names what is not multiplied so.
bool map_packed(const std::filesystem::path& packed, const PackedKey& key, Model& model);

// Writes the packed matrices of `model`, atomically.
void write_packed(const std::filesystem::path& packed, const PackedKey& key, const Model& model,
                  const WriteProgress& progress = {});

}  // namespace aviary
