// The one way from a path to a model that runs, for the program and for the C++ and C interfaces.
#pragma once

#include <filesystem>
#include <string>

#include "checkpoints/checkpoint.h"

namespace aviary {

// What to open of `path`: a file itself; of the folder of one of our runs its model.safetensors; any other
// folder as it is, to be read as Hugging Face lays folders out.
std::filesystem::path model_file_at(const std::filesystem::path& path);

struct OpenOptions {
  // As open_tokenizer takes it. Empty: the one that the model carries or that lies beside it in its folder;
  // without one, bytes when the vocabulary has 256 tokens, else none.
  std::string tokenizer = {};
  std::optional<kernels::Precision> precision = {};  // of products with float32 numbers; none: the usual one
  std::optional<PackedCache> cache = {};
};

// Opens a model to be run: a file of any format that read_tensor_file knows, a folder of Hugging Face, or the
// folder of a run. Throws Error when it cannot be read, is damaged, holds NaN or infinity, or is of an
// unknown version, and when the tokenizer cannot be read or has more tokens than the model.
Checkpoint open_model(const std::filesystem::path& path, const OpenOptions& options = {});

// "bytes", or the path of a file that read_tokenizer (text/tokenizer_file.h) knows, or of a model that has a
// tokenizer. Throws Error otherwise.
TokenizerPtr open_tokenizer(const std::string& name);
// The tokenizer of the model at `path`, as open_model finds it; null when it has none.
TokenizerPtr tokenizer_of_model(const std::filesystem::path& path);
// Throws Error, with `model` in front, when the tokenizer has more tokens than the model.
void require_fit(const Tokenizer& tokenizer, const ModelConfig& config, const std::string& model);

}  // namespace aviary
