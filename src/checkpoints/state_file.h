// State files: an initial state from state tuning. Those of the original trainers have one tensor
// blocks.<i>.att.time_state [heads, head size, head size] per layer (state tuning of RWKV-LM and RWKV-PEFT),
// with the axes head, value, key; the state of our models is [key, value], so each head is transposed.
// Aviary's own (checkpoints/state_writer.h) also have other parts of a state, by name.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "formats/tensor_file.h"
#include "models/model.h"

namespace aviary {

struct StateSizes {
  int64_t layers = 0, heads = 0, head_size = 0;
  int64_t width = 0;  // of a state of vectors, which has no heads; 0: of one with a matrix per head
};

// Nothing if the file is not a state file: it has no tensors, or others, or other shapes.
std::optional<StateSizes> recognize_state(const TensorFile& file);
// "a tuned state for 24 layers of 32 heads of 64", "a tuned state for 12 layers of width 768"
std::string describe(const StateSizes& sizes);

// The state of one sequence of `model` before its first token. Token shifts start at zero unless the file has
// them. Throws Error if the file is not a state file, is for a model of other sizes or without such a state,
// or contains NaN or infinity. A file of a trainer does not identify its model or version: one for another
// model of the same sizes can be loaded, but is useless.
State load_state(const std::filesystem::path& path, const Model& model);
State load_state(const TensorFile& file, const std::string& where, const Model& model);
// The same for a model from the file at `base`. Throws Error also if the file says that the state was trained
// on another one (unless `any_base`).
State load_state(const std::filesystem::path& path, const Model& model, const std::filesystem::path& base,
                 bool any_base);

}  // namespace aviary
