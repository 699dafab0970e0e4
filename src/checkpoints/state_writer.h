// Writes tuned states (checkpoints/state_file.h reads them).
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "checkpoints/tuning_info.h"
#include "formats/tensor_file.h"
#include "models/model.h"

namespace aviary {

// By the ending of the path:
//   .safetensors, .st  Aviary's own file, with `info` in the metadata. The matrix states of a layer are
//                      blocks.<i>.att.time_state [heads, value, key]; other parts have the names of
//                      Model::state_specs(), as blocks.<i>.att.aa of RWKV-4
//   .pth, .pt          of the original trainers: only time_state, in the same orientation
//   .state             of web-rwkv: only time_state, as f16 [heads, key, value]
// Token shifts are written if a number of them is not 0. f32 numbers, except in .state. Atomic. Throws Error,
// beginning with the path, for another ending, if the state is of another model or holds NaN or infinity, if
// the model remembers all its tokens or nothing but the last ones, and if the file cannot say a part.
void save_state(const std::filesystem::path& path, const State& state, const Model& model,
                const StateInfo& info = {});

// Writes the tuned state in `from`, which recognize_state() recognizes, in another of these forms. type: of
// the numbers, f32, f16 or bf16; none: as they are (.state: f16). Throws the same errors.
void convert_state(const TensorFile& from, const std::string& where, const std::filesystem::path& path,
                   std::optional<Dtype> type = {});

}  // namespace aviary
