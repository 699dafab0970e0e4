// Folders as Hugging Face lays them out: model.safetensors or pytorch_model.bin, or several of them with an
// index in JSON beside them; config.json; a vocabulary.
#pragma once

#include <filesystem>
#include <vector>

#include "base/files.h"
#include "formats/tensor_table.h"

namespace aviary {

struct FolderTensors {
  std::vector<MappedFile> files;
  TensorTable table;  // of all files together
};

// All tensors of such a folder, with the original names. Files that an index names must lie inside the folder
// and hold exactly the tensors that it says. What config.json says beyond names and shapes is obeyed (shared
// embeddings) or, when it is not what the original models have, refused. A World vocabulary or a
// tokenizer.json beside the model becomes its tokenizer (aviary.tokenizer and aviary.vocabulary in the
// metadata). Throws Error when there is no model in the folder, or when it is damaged.
FolderTensors read_folder(const std::filesystem::path& folder, Transposed of_transposed);

}  // namespace aviary
