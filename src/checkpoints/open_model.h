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
  bool any_tokenizer = false;  // also one that is known not to be the model's (open_tokenizer_for)
  std::optional<kernels::Precision> precision = {};  // of products with float32 numbers; none: the usual one
  std::optional<PackedCache> cache = {};
  std::vector<AdapterRequest> adapters = {};  // added to the model
};

// Opens a model for inference: a file in any format of read_tensor_file, a folder of Hugging Face, or a run
// folder. Throws Error if it cannot be read, is damaged, contains NaN or infinity, or is of an unknown
// version, and if the tokenizer cannot be read, has more tokens than the model or is not the model's own.
Checkpoint open_model(const std::filesystem::path& path, const OpenOptions& options = {});

// "bytes", or the path of a file for read_tokenizer (text/tokenizer_file.h), or of a model or run folder that
// has a tokenizer. Throws Error otherwise.
TokenizerPtr open_tokenizer(const std::string& name);
// The tokenizer that open_model finds for the model at `path`; null if there is none.
TokenizerPtr tokenizer_of_model(const std::filesystem::path& path);
// Throws Error, beginning with `model`, if the tokenizer has more tokens than the model.
void require_fit(const Tokenizer& tokenizer, const ModelConfig& config, const std::string& model);
// open_tokenizer for a model of which `known_hash` is the known_tokenizer_hash (checkpoints/checkpoint.h).
// Throws Error, beginning with `model`, also if the tokenizer has more tokens than the model or, unless `any`
// will do, another hash: the model would take its tokens for others.
TokenizerPtr open_tokenizer_for(const std::string& name, const ModelConfig& config,
                                const std::string& known_hash, const std::string& model, bool any);

}  // namespace aviary
