// Opens a model for inference from a path; used by the program and by the C++ and C interfaces.
#pragma once

#include <filesystem>
#include <string>

#include "checkpoints/checkpoint.h"

namespace aviary {

// The path to open for `path`: a file itself; for a run folder its model.safetensors; any other folder
// itself, to be read as a folder of Hugging Face.
std::filesystem::path model_file_at(const std::filesystem::path& path);

struct OpenOptions {
  // An argument for open_tokenizer. Empty: the tokenizer in the model file or in its folder; without one,
  // bytes if the vocabulary has 256 tokens, otherwise none.
  std::string tokenizer = {};
  std::optional<kernels::Precision> precision = {};  // of products with float32 numbers; none: the usual one
  std::optional<PackedCache> cache = {};
  std::vector<AdapterRequest> adapters = {};  // added to the model
};

// Opens a model for inference: a file in any format of read_tensor_file, a folder of Hugging Face, or a run
// folder. Throws Error if it cannot be read, is damaged, contains NaN or infinity, or is of an unknown
// version, and if the tokenizer cannot be read or has more tokens than the model.
Checkpoint open_model(const std::filesystem::path& path, const OpenOptions& options = {});

// "bytes", or the path of a file for read_tokenizer (text/tokenizer_file.h), or of a model that has a
// tokenizer. Throws Error otherwise.
TokenizerPtr open_tokenizer(const std::string& name);
// The tokenizer that open_model finds for the model at `path`; null if there is none.
TokenizerPtr tokenizer_of_model(const std::filesystem::path& path);
// Throws Error, beginning with `model`, if the tokenizer has more tokens than the model.
void require_fit(const Tokenizer& tokenizer, const ModelConfig& config, const std::string& model);

}  // namespace aviary
