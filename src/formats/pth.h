// Files of torch.save: a pickle of a dict of tensors, and their storages, in a zip archive (torch >= 1.6) or
// in one stream (legacy). Format: torch/serialization.py, torch/_utils.py and
// caffe2/serialize/inline_container.h.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "formats/bytes.h"
#include "formats/tensor_table.h"

namespace aviary {

// True if the bytes begin like a zip archive or with the magic number of the legacy format.
bool looks_like_pth(Bytes bytes);

// Reads a dict of tensors and parameters (a state_dict), also where it is inside another dict, as trainers
// save it: {"model": ...}, {"state_dict": ...}. Values of other kinds in it are ignored. Nothing in the
// pickle is ever executed: globals other than those of tensors are an error. Tensors that are not contiguous
// are copied. All tensors together may have at most four times the bytes of the file. Throws Error if the
// file contains anything else or is damaged.
TensorTable parse_pth(Bytes bytes, const std::string& where);

// Writes a state_dict that torch.load can read, in the zip format, which cannot store metadata. Throws Error
// if two tensors have the same name or torch does not have a type.
void write_pth(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
               const WriteProgress& progress = {});

}  // namespace aviary
