// Writes a model as GGUF, the format of llama.cpp (formats/gguf.h reads it).
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "formats/tensor_file.h"
#include "models/config.h"
#include "text/tokenizer.h"

namespace aviary {

// Writes tensors with the names of the original checkpoints through an AtomicFile. RWKV-6 and RWKV-7 get the
// names, shapes and keys with which llama.cpp loads them (formats/llama_names.h): its small tensors are
// stored as f32 and its low-rank matrices as f32, f16 or bf16, whatever their type here. Other versions are
// an extension of our own: the architecture "aviary" and the names as they are. The config, and metadata
// whose keys mean nothing else to llama.cpp, are kept as keys. A vocabulary that is not "bytes" or "world" is
// for us alone; llama.cpp loads such a model for tokens, not for text. Same arguments, same bytes. Throws
// Error when llama.cpp would miss a tensor or has no place for one, or when a type does not fit a tensor.
void write_gguf(const std::filesystem::path& path, const ModelConfig& config,
                std::span<const StoredTensor> tensors,
                const std::map<std::string, std::string>& metadata = {}, const Tokenizer* tokenizer = nullptr,
                const WriteProgress& progress = {});

}  // namespace aviary
