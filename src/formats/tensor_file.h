// An open model file of any format, or a folder of them: the tensors of the program come from here.
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

// An open file of tensors, or several that belong together; the data lives as long as this does. The tensors
// have the names, shapes and meaning of the original checkpoints, whoever wrote the file.
class TensorFile {
 public:
  TensorFile(std::vector<MappedFile> files, TensorTable table);
  TensorFile(TensorFile&&) = default;
  TensorFile& operator=(TensorFile&&) = default;

  // In the order of the file: safetensors by the place of the data, pth by the order of the dict.
  const std::vector<TensorEntry>& tensors() const { return table_.tensors; }
  // Null when there is none.
  const TensorEntry* find(std::string_view name) const;
  // `__metadata__` of safetensors, the keys and values of GGUF; empty for pth.
  const std::map<std::string, std::string>& metadata() const { return table_.metadata; }
  const std::string& format() const { return table_.format; }
  const std::string& dialect() const { return table_.dialect; }
  std::span<const MappedFile> files() const { return files_; }
  // The sizes of its files together.
  int64_t file_bytes() const;
  // Gives the memory of a tensor's data back to the system, which reads it again when needed.
  void drop(std::span<const std::byte> data) const;
  // Whether the data does not lie in a file but in memory of its own, made when it was opened.
  bool made(const TensorEntry& tensor) const;
  // The data of a tensor that was made; the tensor is not for use any more.
  Buffer take(const TensorEntry& tensor);

 private:
  std::vector<MappedFile> files_;
  TensorTable table_;
  std::unordered_map<std::string_view, size_t> index_;  // the names live in table_
};

// Opens a file of tensors, or a folder as Hugging Face lays them out. The format is recognized from the
// content, never from the name. Tensors are used where they lie in the file: nothing is copied but tensors
// that are stored transposed, and with Transposed::in_place only those that are not f32, f16 or bf16 or that
// are a stack.
// Throws Error when the file is anything else or damaged.
TensorFile read_tensor_file(const std::filesystem::path& path, Transposed of_transposed = Transposed::copied);

// The table of bytes in memory, with the original names; errors begin with `where`.
TensorTable parse_tensors(std::span<const std::byte> bytes, const std::string& where);

}  // namespace aviary
