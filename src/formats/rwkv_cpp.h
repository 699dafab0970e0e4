// The .bin files of rwkv.cpp: a header of six numbers, then the tensors, each with name and type, until the
// end of the file. https://github.com/RWKV/rwkv.cpp, docs/FILE_FORMAT.md
#pragma once

#include "formats/bytes.h"
#include "formats/tensor_table.h"

namespace aviary {

// True for the magic number 0x67676d66 (the bytes "fmgg").
bool looks_like_rwkv_cpp(Bytes bytes);

// File versions 100 and 101. The tensors have the names, shapes and values of the file, slowest dimension
// first; dialect_rwkv_cpp.cpp translates them. Throws Error for another file version, an unsupported type, a
// duplicate name, sizes that contradict the header, and a file that ends within a tensor.
TensorTable parse_rwkv_cpp(Bytes bytes, const std::string& where);

}  // namespace aviary
