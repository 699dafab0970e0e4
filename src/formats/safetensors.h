// Safetensors: eight bytes with the length of a JSON header, the header, and the data of all tensors without
// gaps. https://github.com/huggingface/safetensors#format
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "formats/bytes.h"
#include "formats/tensor_table.h"

namespace aviary {

// True if the ninth byte begins a JSON object and the first eight are not text.
bool looks_like_safetensors(Bytes bytes);

// Strict: the header has at most 100 MB, names are unique, the data of the tensors fills the rest of the file
// without gaps or overlaps, and each tensor has the size given by dtype and shape. Throws Error otherwise.
TensorTable parse_safetensors(Bytes bytes, const std::string& where);

// Writes the tensors in the given order through an AtomicFile. The data begins at a multiple of 64 bytes;
// tensors are aligned if those with large elements come first. The same tensors and metadata give the same
// bytes. Throws Error if two tensors have the same name, a name is not UTF-8, data does not match dtype and
// shape, or the format does not have a type.
void write_safetensors(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {},
                       const WriteProgress& progress = {});

}  // namespace aviary
