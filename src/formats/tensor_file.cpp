#include "formats/tensor_file.h"

#include <algorithm>
#include <utility>

#include "formats/dialects.h"
#include "formats/folder.h"
#include "formats/format.h"

namespace aviary {

TensorFile::TensorFile(std::vector<MappedFile> files, TensorTable table)
    : files_(std::move(files)), table_(std::move(table)) {
  index_.reserve(table_.tensors.size());
  for (size_t i = 0; i < table_.tensors.size(); ++i) index_.emplace(table_.tensors[i].name, i);
  if (!table_.buffers.empty())  // the pages that they were made from are no longer needed
    for (const MappedFile& file : files_) file.drop(file.bytes());
}

bool TensorFile::made(const TensorEntry& tensor) const {
  return std::ranges::any_of(table_.buffers, [&](const Buffer& buffer) {
    return buffer.data() && buffer.data() == tensor.data.data() && buffer.bytes() == std::ssize(tensor.data);
  });
}

Buffer TensorFile::take(const TensorEntry& tensor) {
  for (Buffer& buffer : table_.buffers)
    if (buffer.data() && buffer.data() == tensor.data.data()) return std::move(buffer);
  return {};
}

const TensorEntry* TensorFile::find(std::string_view name) const {
  auto found = index_.find(name);
  return found == index_.end() ? nullptr : &table_.tensors[found->second];
}

void TensorFile::drop(std::span<const std::byte> data) const {
  for (const MappedFile& file : files_) file.drop(data);
}

int64_t TensorFile::file_bytes() const {
  int64_t bytes = 0;
  for (const MappedFile& file : files_) bytes += std::ssize(file.bytes());
  return bytes;
}

TensorFile read_tensor_file(const std::filesystem::path& path, Transposed of_transposed) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    FolderTensors folder = read_folder(path, of_transposed);
    return {std::move(folder.files), std::move(folder.table)};
  }
  std::vector<MappedFile> files(1);
  files[0] = MappedFile(path);
  TensorTable table = parse_stored_tensors(files[0].bytes(), path.string());
  table.of_transposed = of_transposed;
  return {std::move(files), to_original_names(std::move(table), path.string())};
}

TensorTable parse_tensors(std::span<const std::byte> bytes, const std::string& where) {
  return to_original_names(parse_stored_tensors(bytes, where), where);
}

}  // namespace aviary
