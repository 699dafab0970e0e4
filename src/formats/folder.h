// Folders in the layout of Hugging Face: model.safetensors or pytorch_model.bin, or several shards of these
// with a JSON index; config.json; a vocabulary.
#pragma once

#include <filesystem>
#include <vector>

#include "base/files.h"
#include "formats/tensor_table.h"

namespace aviary {

struct FolderTensors {
  std::vector<MappedFile> files;
  TensorTable table;  // merged from all files
};

// All tensors of such a folder, with the original names. Files named by an index must be inside the folder
// and contain exactly the listed tensors. Settings in config.json that names and shapes do not show are
// applied (shared embeddings) or, if they differ from those of the original models, are an error. A World
// vocabulary or a tokenizer.json in the folder becomes the tokenizer of the model (aviary.tokenizer and
// aviary.vocabulary in the metadata). Throws Error if there is no model in the folder, or if it is damaged.
FolderTensors read_folder(const std::filesystem::path& folder, Transposed of_transposed);

// The files of such a folder: tensors and their index, settings, vocabularies. Some may be missing, and for
// another folder all are.
std::vector<std::filesystem::path> files_of_folder(const std::filesystem::path& folder);

}  // namespace aviary
