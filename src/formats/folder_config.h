// The config.json of a folder of Hugging Face: which of its keys are obeyed, which must agree with the
// tensors or with what this program computes, and which have no effect.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "formats/tensor_table.h"

namespace aviary {

// Applies the config, a JSON object, to a table whose tensors have the original names already: shared
// embeddings. Adds a note about the keys that are not known here. Throws Error, beginning with `where`, for a
// key that contradicts the tensors, or that asks for something else than what is computed.
void obey_config(const nlohmann::json& config, const std::string& where, TensorTable& table);

}  // namespace aviary
