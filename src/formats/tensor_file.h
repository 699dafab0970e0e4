// An open model file in any format, or a folder of such files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/files.h"
#include "formats/tensor_table.h"

namespace aviary {

// An open file of tensors, or several that belong together; the data is valid as long as this object. The
// tensors have the names, shapes and meaning of the original checkpoints, whichever program wrote the file.
class TensorFile {
 public:
  TensorFile(std::vector<MappedFile> files, TensorTable table);
  TensorFile(TensorFile&&) = default;
  TensorFile& operator=(TensorFile&&) = default;

  // In the order of the file: of the data for safetensors, of the dict for pth.
  const std::vector<TensorEntry>& tensors() const { return table_.tensors; }
  // Null if there is none.
  const TensorEntry* find(std::string_view name) const;
  // `__metadata__` of safetensors, the keys and values of GGUF; empty for pth.
  const std::map<std::string, std::string>& metadata() const { return table_.metadata; }
  const std::string& format() const { return table_.format; }
  const std::string& dialect() const { return table_.dialect; }
  // What a user should know about the file: a sentence each.
  const std::vector<std::string>& notes() const { return table_.notes; }
  std::span<const MappedFile> files() const { return files_; }
  // The total size of its files.
  int64_t file_bytes() const;
  // Releases the pages of a tensor's data; the system reads them again when needed.
  void drop(std::span<const std::byte> data) const;
  // Whether the data is not in the file but in memory allocated when the file was opened.
  bool made(const TensorEntry& tensor) const;
  // Moves out the data of such a tensor; the tensor must not be used afterwards.
  Buffer take(const TensorEntry& tensor);

 private:
  std::vector<MappedFile> files_;
  TensorTable table_;
  std::unordered_map<std::string_view, size_t> index_;  // the keys point into table_
};

// Opens a file of tensors, or a folder in the layout of Hugging Face. The format is recognized from the
// content, never from the name. Tensors are used in place in the mapped file; only those stored transposed
// are copied, and with Transposed::in_place only those of them that are not f32, f16 or bf16 or that are a
// stack. Throws Error if the file is anything else or damaged.
TensorFile read_tensor_file(const std::filesystem::path& path, Transposed of_transposed = Transposed::copied);

// The table of bytes in memory, with the original names; errors begin with `where`.
TensorTable parse_tensors(std::span<const std::byte> bytes, const std::string& where);

}  // namespace aviary
