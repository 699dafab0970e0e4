// The packed weights of a model in a file next to it, so that loading need not read and pack the numbers of
// the model: FILE.packed is mapped, and processes that run the model share its memory.
//
// It is a safetensors file of bytes with a tensor such as "blocks.0.att.key.weight#0" for every packed matrix
// (several for a stack). Its metadata identify the model file, the layout and the precision, describe each
// matrix, and have a hash of all bytes of the matrices, by which damage is found when the file is mapped.
#pragma once

#include <filesystem>
#include <memory>

#include "formats/tensor_file.h"
#include "kernels/matmul.h"
#include "models/model.h"

namespace aviary {

// FILE.packed, next to the file or folder.
std::filesystem::path packed_path(const std::filesystem::path& model);

bool is_packed(const TensorFile& file);

// The key that must match for a packed file to be used: a hash of the model file (sizes and times of its
// files and some bytes of each tensor); a hash of the layout (a packed matrix of every type); and the
// precision of products with float32 weights.
struct PackedKey {
  uint64_t source = 0, layout = 0;
  kernels::Precision precision = kernels::Precision::f32;
};
PackedKey packed_key(const TensorFile& source);

// Gives the weights of `model` the packed matrices in the file. Returns false, and changes nothing, if there
// is no such file, or it has another key, is damaged, or names parameters that are not used in such products.
bool map_packed(const std::filesystem::path& packed, const PackedKey& key, Model& model);

// Writes the packed matrices of `model`, atomically.
void write_packed(const std::filesystem::path& packed, const PackedKey& key, const Model& model,
                  const WriteProgress& progress = {});

}  // namespace aviary
