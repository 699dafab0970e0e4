// Safetensors: eight bytes with the length of a JSON header, the header, the data of all tensors without
// gaps. https://github.com/huggingface/safetensors#format
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "formats/bytes.h"
#include "formats/tensor_table.h"

namespace aviary {

// True when the ninth byte begins a JSON object and the eight before it are not text.
bool looks_like_safetensors(Bytes bytes);

// Strict: the header is at most 100 MB, names are unique, the data of the tensors fills the rest of the file
// without gaps or overlaps, and each piece has the size that dtype and shape ask for. Throws Error otherwise.
TensorTable parse_safetensors(Bytes bytes, const std::string& where);

// Writes the tensors in the given order through an AtomicFile. The data begins at a multiple of 64 bytes;
// tensors stay aligned when those with large elements come first. Same tensors and metadata, same bytes.
// Throws Error when two tensors have the same name, a name is not UTF-8, data does not fit dtype and shape,
// or a type is one that the format does not have.
void write_safetensors(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {},
                       const WriteProgress& progress = {});

}  // namespace aviary
