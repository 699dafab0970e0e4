// Tensors by name, in memory or in a file: the common representation of all formats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "numbers/dtype.h"
#include "tensor/buffer.h"

namespace aviary {

// More dimensions than any model has; limits the memory that a file can cause to be allocated.
constexpr size_t max_tensor_rank = 8;

struct TensorEntry {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<int64_t> shape;  // empty for a scalar
  // The elements, row-major, contiguous, little-endian. Not necessarily aligned: read them with memcpy or
  // with the functions below.
  std::span<const std::byte> data;
  // The elements with the two axes swapped; `data` is empty then (Transposed::in_place).
  std::span<const std::byte> transposed = {};

  bool is_transposed() const { return !transposed.empty(); }
  // The bytes as stored.
  std::span<const std::byte> stored() const { return is_transposed() ? transposed : data; }
};

// How to treat a matrix that a file stores transposed: copy it, or refer to it in place.
enum class Transposed : uint8_t { copied, in_place };

// The content of a file. `data` of the tensors points into the bytes of the file or into `buffers`.
struct TensorTable {
  std::string format;   // "safetensors", "pth", ...
  std::string dialect;  // the dialect of the names (formats/dialects.h); empty: that of the original trainers
  std::vector<TensorEntry> tensors;
  std::map<std::string, std::string> metadata;
  std::vector<Buffer> buffers;  // data of tensors that cannot be used in place in the file
  Transposed of_transposed = Transposed::copied;
  // What a user should know about the file, though it was read: a sentence each.
  std::vector<std::string> notes = {};

  // Memory for one more such tensor, zeroed. Throws Error if there is not enough memory.
  std::span<std::byte> new_buffer(size_t bytes) {
    return buffers.emplace_back(static_cast<int64_t>(bytes)).span();
  }
};

// Number of bytes given by the dtype and shape of `tensor`; `data` is ignored. Throws Error if a size is
// negative, the product exceeds 2^63, there are more than max_tensor_rank dimensions, or a row does not
// consist of whole blocks.
int64_t expected_bytes(const TensorEntry& tensor, std::string_view where);

int64_t count_of(const TensorEntry& tensor);
// Whether this is a weight matrix, by name and shape: used in products, and may be quantized.
bool is_matrix(const TensorEntry& tensor);
// The elements as numbers, none for a transposed tensor; a boolean becomes 0 or 1.
std::vector<double> to_doubles(const TensorEntry& tensor);
// Throws Error unless `out` has as many elements as the tensor.
void to_floats(const TensorEntry& tensor, std::span<float> out);

// A tensor to be written: the numbers of `source`, stored as `type`.
struct StoredTensor {
  TensorEntry source;
  Dtype type = Dtype::f32;

  int64_t bytes() const { return bytes_of(type, count_of(source)); }
};
std::vector<StoredTensor> unchanged(std::span<const TensorEntry> tensors);

// Calls `write` with the bytes of the tensor, piece by piece, in bounded memory.
void write_stored(const StoredTensor& tensor, const std::function<void(std::span<const std::byte>)>& write);

// Called by a writer after each piece, with the number of bytes of tensors written and the total number. If
// it throws, writing ends, and the file at the path remains unchanged.
using WriteProgress = std::function<void(int64_t written, int64_t total)>;

// Counts the written bytes for a writer.
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
