// Tensors by name, as they lie in memory or in a file: what every format is read into and written from.
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
