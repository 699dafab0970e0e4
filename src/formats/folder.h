// Folders as Hugging Face lays them out: model.safetensors or pytorch_model.bin, or several of them with an
// index in JSON beside them; config.json; a vocabulary.
#pragma once

#include <filesystem>

#include "formats/tensor_file.h"

namespace aviary {

// What to open of a folder: the model file of one of our runs, or the folder itself when it is laid out as
// Hugging Face does. Throws Error when it is neither.
std::filesystem::path model_in_folder(const std::filesystem::path& folder);

// All tensors of such a folder, with the original names. Files that an index names must lie inside the folder
// and hold exactly the tensors that it says. What config.json says beyond names and shapes is obeyed (shared
// embeddings) or, when it is not what the original models have, refused. A World vocabulary or a
// tokenizer.json beside the model becomes its tokenizer (aviary.tokenizer and aviary.vocabulary in the
// metadata).
TensorFile read_folder(const std::filesystem::path& folder, Transposed of_transposed);

}  // namespace aviary
