// The one view of a file of named tensors, whatever its format: the tensors of the program come from here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/files.h"
#include "numbers/dtype.h"
#include "tensor/buffer.h"

namespace aviary {

// More dimensions than any model has; it bounds the memory that a file can ask for.
constexpr size_t max_tensor_rank = 8;

struct TensorEntry {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<int64_t> shape;  // empty for a scalar
  // The elements, row-major, contiguous, little-endian. Not necessarily aligned: read them with memcpy or
  // with the functions below.
  std::span<const std::byte> data;
  // Where they lie with the two axes exchanged; `data` is empty then (Transposed::in_place).
  std::span<const std::byte> transposed = {};

  bool is_transposed() const { return !transposed.empty(); }
  // As they lie.
  std::span<const std::byte> stored() const { return is_transposed() ? transposed : data; }
};

// What becomes of a matrix that a file stores transposed: a copy, or an entry that tells where it lies.
enum class Transposed : uint8_t { copied, in_place };

// What the bytes of a file say. `data` of the tensors points into those bytes or into `buffers`.
struct TensorTable {
  std::string format;  // "safetensors", "pth", ...
  std::string
      dialect;  // whose names the file has (formats/dialects.h); empty: those of the original trainers
  std::vector<TensorEntry> tensors;
  std::map<std::string, std::string> metadata;
  std::vector<Buffer> buffers;  // tensors that do not lie in the file as they are used
  Transposed of_transposed = Transposed::copied;

  // Of one more such tensor, zeroed. Throws Error when there is not enough memory.
  std::span<std::byte> new_buffer(size_t bytes) {
    return buffers.emplace_back(static_cast<int64_t>(bytes)).span();
  }
};

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

// The same for bytes in memory; errors begin with `where`.
TensorTable parse_tensors(std::span<const std::byte> bytes, const std::string& where);
// With the names that the file has.
TensorTable parse_stored_tensors(std::span<const std::byte> bytes, const std::string& where);
// True when the bytes begin as a file of one of the formats does.
bool looks_like_tensors(std::span<const std::byte> bytes);

// Bytes that the dtype and the shape of `tensor` ask for; `data` is not looked at. Throws Error when a size
// is negative, the product is beyond 2^63, there are more than max_tensor_rank dimensions, or a row is not
// made of whole blocks.
int64_t expected_bytes(const TensorEntry& tensor, std::string_view where);

int64_t count_of(const TensorEntry& tensor);
// A weight matrix by name and shape: what products read, and what may be quantized.
bool is_matrix(const TensorEntry& tensor);
// The elements as numbers, none of a transposed one; a boolean becomes 0 or 1.
std::vector<double> to_doubles(const TensorEntry& tensor);
// `out` has as many elements as the tensor; throws Error otherwise.
void to_floats(const TensorEntry& tensor, std::span<float> out);

// A tensor to be written: the numbers of `source`, stored as `type`.
struct StoredTensor {
  TensorEntry source;
  Dtype type = Dtype::f32;

  int64_t bytes() const { return bytes_of(type, count_of(source)); }
};
std::vector<StoredTensor> unchanged(std::span<const TensorEntry> tensors);

// Calls `write` with the bytes of the tensor, piece by piece: memory stays bounded whatever the tensor's
// size.
void write_stored(const StoredTensor& tensor, const std::function<void(std::span<const std::byte>)>& write);

// What a writer calls after each piece: how many bytes of tensors are written, and how many it will be in
// all. What it throws ends the writer, and the file at the path stays as it was.
using WriteProgress = std::function<void(int64_t written, int64_t total)>;

// Counts the pieces for a writer.
class WriteCounter {
 public:
  WriteCounter(const WriteProgress& progress, int64_t total) : progress_(progress), total_(total) {}
  void add(std::span<const std::byte> piece) {
    written_ += std::ssize(piece);
    if (progress_) progress_(written_, total_);
  }

 private:
  const WriteProgress& progress_;
  int64_t written_ = 0;
  const int64_t total_;
};

int64_t bytes_of(std::span<const StoredTensor> tensors);

}  // namespace aviary
