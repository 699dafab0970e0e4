// Files of torch.save: a pickle of a dict of tensors and the storages beside it, in a zip archive (torch
// >= 1.6) or in one stream (before). Format: torch/serialization.py, torch/_utils.py and
// caffe2/serialize/inline_container.h.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "formats/bytes.h"
#include "formats/tensor_table.h"

namespace aviary {

// True when the bytes begin as a zip archive or with the magic number of the older form.
bool looks_like_pth(Bytes bytes);

// Reads a dict of tensors and parameters (a state_dict); values of other kinds beside them are left out.
// Nothing of the pickle is ever executed: names other than those of tensors are refused. Tensors that are not
// contiguous are copied. Together the tensors have at most four times the bytes of the file. Throws Error
// when the file holds anything else or is damaged.
TensorTable parse_pth(Bytes bytes, const std::string& where);

// Writes a state_dict that torch.load opens, in the zip form. Metadata has no place in it. Throws Error when
// two tensors have the same name or a type is one that torch does not have.
void write_pth(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
               const WriteProgress& progress = {});

}  // namespace aviary
