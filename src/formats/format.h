// The supported file formats. To add one: a file that defines its FileFormat, and its name in the list in
// format.cpp.
#pragma once

#include <string>
#include <string_view>

#include "formats/bytes.h"
#include "formats/tensor_table.h"

namespace aviary {

struct FileFormat {
  std::string_view name;   // TensorTable::format of its tables: "gguf"
  std::string_view files;  // the name for users: ".gguf"
  // Whether the bytes begin like a file of this format.
  bool (*probe)(Bytes bytes);
  TensorTable (*read)(Bytes bytes, const std::string& where);  // throws Error, beginning with `where`
};

// Each is defined with its reader.
extern const FileFormat gguf_format, pth_format, rwkv_cpp_format, safetensors_format;

// Null if the bytes are in none of the formats.
const FileFormat* file_format_of(Bytes bytes);

// The tensors with the names used in the file. Throws Error if the bytes are damaged or in none of the
// formats, with a guess what they are.
TensorTable parse_stored_tensors(Bytes bytes, const std::string& where);

}  // namespace aviary
