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
// names, shapes and keys with which llama.cpp loads them (formats/llama_names.h): small tensors are stored as
// f32 and low-rank matrices as f32, f16 or bf16, whatever their type is in the model. Other versions, and
// models with something that llama.cpp cannot say (is_of_llama() in checkpoints/targets.h), use our own
// extension: the architecture "aviary" and the original names. The config, and metadata whose keys have
// no other meaning in llama.cpp, are written as keys. A vocabulary other than "bytes" or "world" can only be
// read by Aviary; llama.cpp loads such a model for tokens, not for text. The same arguments give the same
// bytes. Throws Error if a tensor that llama.cpp needs is missing or one that it does not know exists, or if
// a type is not possible for a tensor.
void write_gguf(const std::filesystem::path& path, const ModelConfig& config,
                std::span<const StoredTensor> tensors,
                const std::map<std::string, std::string>& metadata = {}, const Tokenizer* tokenizer = nullptr,
                const WriteProgress& progress = {});
// The size of the file that write_gguf() writes for these arguments, in bytes: data, padding, keys and
// vocabulary. Throws the same errors, naming `path`.
int64_t gguf_bytes(const std::filesystem::path& path, const ModelConfig& config,
                   std::span<const StoredTensor> tensors,
                   const std::map<std::string, std::string>& metadata = {},
                   const Tokenizer* tokenizer = nullptr);

}  // namespace aviary
