// State files: an initial state from state tuning, one tensor blocks.<i>.att.time_state [heads, head size,
// head size] per layer (state tuning of RWKV-LM and RWKV-PEFT). The axes are head, value, key; the state of
// our models is [key, value], so each head is transposed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "formats/tensor_file.h"
#include "models/model.h"

namespace aviary {

struct StateSizes {
  int64_t layers = 0, heads = 0, head_size = 0;
};

// Nothing if the file is not a state file: it has no tensors, or others, or other shapes.
std::optional<StateSizes> recognize_state(const TensorFile& file);
// "a tuned state for 24 layers of 32 heads of 64"
std::string describe(const StateSizes& sizes);

// The state of one sequence of `model` before its first token. Token shifts start at zero. Throws Error if
// the file is not a state file, is for a model of other sizes or without such a state, or contains NaN or
// infinity. A state file does not identify its model or version: one for another model of the same sizes can
// be loaded, but is useless.
State load_state(const std::filesystem::path& path, const Model& model);
State load_state(const TensorFile& file, const std::string& where, const Model& model);

}  // namespace aviary
