// The file formats that are read. To add one: a file that defines its FileFormat, and its name in the list of
// format.cpp.
#pragma once

#include <string>
#include <string_view>

#include "formats/bytes.h"
#include "formats/tensor_table.h"

namespace aviary {

struct FileFormat {
  std::string_view name;                                       // TensorTable::format of what it reads: "gguf"
  std::string_view files;                                      // what users call such files: ".gguf"
  bool (*probe)(Bytes bytes);                                  // do they begin as a file of this format does?
  TensorTable (*read)(Bytes bytes, const std::string& where);  // throws Error, beginning with `where`
};

// Each defined beside its reader.
extern const FileFormat gguf_format, pth_format, rwkv_cpp_format, safetensors_format;

// Null when the bytes are of none of the formats.
const FileFormat* file_format_of(Bytes bytes);

// The tensors with the names that the file has. Throws Error when the bytes are of none of the formats, with
// a guess what they are, or damaged.
TensorTable parse_stored_tensors(Bytes bytes, const std::string& where);

}  // namespace aviary
